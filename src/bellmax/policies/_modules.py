"""Policies as pytrees: equinox modules from one observation to a distribution."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ._categorical import Categorical, categorical
from ._gaussian import Gaussian, gaussian


class CategoricalPolicy(eqx.Module):
    """Softmax over the logits of a network.

    Attributes:
        network: Maps an observation to one logit an action.
    """

    network: Callable[[PyTree[Array]], Float[Array, " actions"]]

    def __call__(self, observation: PyTree[Array]) -> Categorical:
        """Returns the distribution over actions."""
        return categorical(self.network(observation))


class GaussianPolicy(eqx.Module):
    """Gaussian around the output of a network, with a variance that does not depend on the observation.

    Attributes:
        network: Maps an observation to the mean.
        logvar: Logarithm of the variance, learned.
    """

    network: Callable[[PyTree[Array]], Float[Array, " action_dim"]]
    logvar: Float[Array, " action_dim"]

    def __call__(self, observation: PyTree[Array]) -> Gaussian:
        """Returns the distribution over actions."""
        mu = self.network(observation)
        return gaussian(mu, jnp.broadcast_to(self.logvar, mu.shape))
