"""Policies as pytrees: equinox modules from one observation to a distribution."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core import RealScalarLike, guard
from ._boltzmann import BoltzmannDistribution, boltzmann
from ._categorical import CategoricalDistribution, categorical
from ._epsilon_greedy import EpsilonGreedyDistribution, epsilon_greedy, greedy
from ._gaussian import GaussianDistribution, gaussian
from ._masks import Mask


def _function(name: str, field: str, value) -> Callable:
    """Returns what can be called; else raises TypeError that says what it was."""
    if not callable(value):
        raise TypeError(f"{name}: {field} must map an observation to an array, as a network does; got {value!r}")
    return value


class EpsilonGreedy(eqx.Module):
    """ε-greedy on the values of a network.

    ε is a leaf, so it can be scheduled without recompiling: `eqx.tree_at(lambda pi: pi.eps, pi, eps)`. It feels a
    gradient, as log-probabilities depend on it: where the log-probabilities are trained, train `q` alone.

    Attributes:
        q: Maps an observation to one value an action. Values of other shapes are brought to this one by
            `bellmax.networks`: `CategoricalMean`, `QuantileMean`, `EveryAction`.
        eps: ε, in [0, 1].

    Example:
        >>> policy = EpsilonGreedy(lambda observation: observation, 0.5)
        >>> policy(jnp.array([1.0, 3.0])).probs.tolist()
        [0.25, 0.75]
    """

    q: Callable[[PyTree[Array]], Float[Array, " actions"]]
    eps: Float[Array, ""]

    def __init__(self, q: Callable[[PyTree[Array]], Float[Array, " actions"]], eps: RealScalarLike = 0.1):
        """Puts the two together; TypeError if q is no function, ValueError if a known ε is outside its range."""
        self.q = _function("EpsilonGreedy", "q", q)
        eps = guard(eps, lambda eps: (eps >= 0) & (eps <= 1), "EpsilonGreedy: eps must be in [0, 1]")
        self.eps = jnp.asarray(eps, float)

    def __call__(self, observation: PyTree[Array], mask: Mask | None = None) -> EpsilonGreedyDistribution:
        """Returns the distribution over actions, legal ones where a mask says which."""
        return epsilon_greedy(self.q(observation), self.eps, mask=mask)


class Greedy(eqx.Module):
    """The best action by the values of a network, one of equals at random.

    Attributes:
        q: Maps an observation to one value an action.
    """

    q: Callable[[PyTree[Array]], Float[Array, " actions"]]

    def __check_init__(self):
        _function("Greedy", "q", self.q)

    def __call__(self, observation: PyTree[Array], mask: Mask | None = None) -> EpsilonGreedyDistribution:
        """Returns the distribution over actions, legal ones where a mask says which."""
        return greedy(self.q(observation), mask=mask)


class Boltzmann(eqx.Module):
    """The softmax of the values of a network at a temperature.

    The temperature is in the units of what the network returns: for a network that predicts transformed values, in
    those. To weigh values in the units of the environment put the inverse transform behind the network, as in
    `eqx.nn.Sequential([eqx.nn.Lambda(network), eqx.nn.Lambda(transform.invert)])`.

    Attributes:
        q: Maps an observation to one value an action.
        tau: τ > 0, a leaf like ε of `EpsilonGreedy`.
    """

    q: Callable[[PyTree[Array]], Float[Array, " actions"]]
    tau: Float[Array, ""]

    def __init__(self, q: Callable[[PyTree[Array]], Float[Array, " actions"]], tau: RealScalarLike = 0.02):
        """Puts the two together; TypeError if q is no function, ValueError if a known τ is not positive."""
        self.q = _function("Boltzmann", "q", q)
        self.tau = jnp.asarray(guard(tau, lambda tau: tau > 0, "Boltzmann: tau must be positive"), float)

    def __call__(self, observation: PyTree[Array], mask: Mask | None = None) -> BoltzmannDistribution:
        """Returns the distribution over actions, legal ones where a mask says which."""
        return boltzmann(self.q(observation), self.tau, mask=mask)


class Categorical(eqx.Module):
    """Softmax over the logits of a network.

    Attributes:
        network: Maps an observation to one logit an action.
    """

    network: Callable[[PyTree[Array]], Float[Array, " actions"]]

    def __check_init__(self):
        _function("Categorical", "network", self.network)

    def __call__(self, observation: PyTree[Array], mask: Mask | None = None) -> CategoricalDistribution:
        """Returns the distribution over actions, legal ones where a mask says which."""
        return categorical(self.network(observation), mask=mask)


class Gaussian(eqx.Module):
    """Gaussian around the output of a network.

    Attributes:
        network: Maps an observation to the mean; without `logvar`, to a pair of mean and logarithm of the variance.
        logvar: Logarithm of the variance, learned, the same for every observation; None if the network gives it.
    """

    network: Callable[
        [PyTree[Array]],
        Float[Array, " action_dim"] | tuple[Float[Array, " action_dim"], Float[Array, " action_dim"]],
    ]
    logvar: Float[Array, " action_dim"] | None = None

    def __check_init__(self):
        _function("Gaussian", "network", self.network)

    def __call__(self, observation: PyTree[Array]) -> GaussianDistribution:
        """Returns the distribution over actions."""
        output = self.network(observation)
        is_pair = isinstance(output, tuple | list) and len(output) == 2
        if self.logvar is None and is_pair:
            return gaussian(*output)
        if self.logvar is None or isinstance(output, tuple | list):
            expected = "(mu, logvar), or logvar be given" if self.logvar is None else "the mean alone, beside logvar"
            raise TypeError(f"Gaussian: the network must return {expected}; got {output}")
        return gaussian(output, jnp.broadcast_to(self.logvar, output.shape))
