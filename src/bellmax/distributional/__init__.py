"""Values as distributions: categorical ones over fixed atoms, quantiles with free ones.

Nothing here stops a gradient. Atoms and quantiles are the last axis.
"""

from ._projection import categorical_projection as categorical_projection
from ._quantiles import QuantileFractions as QuantileFractions
from ._quantiles import cosine_embedding as cosine_embedding
from ._quantiles import pool_quantiles as pool_quantiles
from ._quantiles import quantile_fractions as quantile_fractions
from ._quantiles import quantile_mean as quantile_mean
from ._support import linear_support as linear_support
from ._support import quantile_midpoints as quantile_midpoints
from ._support import symexp_support as symexp_support
from ._two_hot import categorical_mean as categorical_mean
from ._two_hot import hl_gauss as hl_gauss
from ._two_hot import two_hot as two_hot
from ._two_hot import two_hot_transform as two_hot_transform
