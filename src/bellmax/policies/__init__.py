"""Action values or parameters in, distrax distributions out.

The distributions are distrax's by interface and by `isinstance`, with pytrees of their own: they pass every JAX and
Equinox transform, as arguments and as results, and nothing in them is static but their class.
"""

from ._boltzmann import boltzmann as boltzmann
from ._categorical import categorical as categorical
from ._epsilon_greedy import epsilon_greedy as epsilon_greedy
from ._gaussian import gaussian as gaussian
from ._modules import CategoricalPolicy as CategoricalPolicy
from ._modules import GaussianPolicy as GaussianPolicy
