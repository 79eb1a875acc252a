"""Action values or parameters in, distrax distributions out.

The distributions are distrax's by interface and by `isinstance`, with pytrees of their own: they pass every JAX and
Equinox transform, as arguments and as results, and nothing in them is static but their class.
"""

from ._bernoulli import bernoulli as bernoulli
from ._beta import beta as beta
from ._bijector import RealsToBox as RealsToBox
from ._boltzmann import boltzmann as boltzmann
from ._categorical import categorical as categorical
from ._categorical import uniform as uniform
from ._categorical import unimix as unimix
from ._deterministic import deterministic as deterministic
from ._epsilon_greedy import epsilon_greedy as epsilon_greedy
from ._epsilon_greedy import greedy as greedy
from ._gaussian import gaussian as gaussian
from ._joint import joint as joint
from ._modules import Boltzmann as Boltzmann
from ._modules import Categorical as Categorical
from ._modules import EpsilonGreedy as EpsilonGreedy
from ._modules import Gaussian as Gaussian
from ._modules import Greedy as Greedy
from ._multi_discrete import multi_discrete as multi_discrete
from ._noise import add_dirichlet_noise as add_dirichlet_noise
from ._noise import add_gaussian_noise as add_gaussian_noise
from ._noise import ornstein_uhlenbeck as ornstein_uhlenbeck
from ._noise import target_policy_smoothing as target_policy_smoothing
from ._random import random_policy as random_policy
from ._squashed import squashed_gaussian as squashed_gaussian
from ._truncated import truncated_gaussian as truncated_gaussian
