"""What a trajectory is worth: one reverse recurrence, and the estimators built on it.

Every function takes a leading time axis and any batch axes after it. An episode end is two numbers: the discount is 0
where the episode terminated, the trace parameter `lambda_` is 0 where it was truncated. Nothing here stops a gradient.
"""

from ._gae import gae as gae
from ._lambda import lambda_returns as lambda_returns
from ._n_step import n_step_returns as n_step_returns
