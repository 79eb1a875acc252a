"""Exploration whose noise is a function of the state, the same one for many steps."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core import Distribution, RealScalarLike
from ..policies import squashed_gaussian

_SMALLEST_VARIANCE = 1e-6
_FARTHEST = 2.0
"""Where the mean is held before squashing, so that the noise still moves the action."""


class NoiseMatrix(eqx.Module):
    """What state-dependent exploration remembers along an episode.

    Attributes:
        draw: Standard normal numbers, one for each feature and dimension of the action.
        age: Steps since it was drawn.
    """

    draw: Float[Array, "features action_dim"]
    age: Int[Array, ""]

    @classmethod
    def start(cls, features: int, action_dim: int) -> "NoiseMatrix":
        """Starts an episode; the matrix is drawn with the first action."""
        return cls(jnp.zeros((features, action_dim)), jnp.zeros((), jnp.int32))

    def at_hand(self, period: int, *, key: Key[Array, ""]) -> tuple[Float[Array, "features action_dim"], "NoiseMatrix"]:
        """Returns the matrix to act with, drawn anew every `period` steps of the episode, and what to remember."""
        draw = jnp.where(self.age % period == 0, jax.random.normal(key, self.draw.shape), self.draw)
        return draw, NoiseMatrix(draw, (self.age + 1) % period)


class StateDependentActor(eqx.Module):
    r"""A squashed Gaussian whose deviation, in each dimension, is a norm of the features of the state.

    $$a = \tanh(\mu(s) + \phi(s)^\top \epsilon), \qquad \epsilon_{ij} \sim \mathcal{N}(0, \sigma_{ij}^2), \qquad
      \mathrm{Var}_j = \sum_i \phi_i(s)^2 \sigma_{ij}^2$$

    Acting keeps one $\epsilon$ for many steps, so that equal states get equal noise; what is learned from is the
    distribution of one action.

    Attributes:
        torso: Maps an observation to features before their nonlinearity.
        activation: The nonlinearity.
        mean: Maps features to μ.
        log_stddev: $\log \sigma$.

    References:
        Raffin, Kober and Stulp, *Smooth Exploration for Robotic Reinforcement Learning*, 2020, arXiv:2005.05719.
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    activation: Callable[[Array], Array] = eqx.field(static=True)
    mean: eqx.nn.Linear
    log_stddev: Float[Array, "features action_dim"]

    def __init__(
        self,
        torso: Callable[[PyTree[Array]], Float[Array, " features"]],
        activation: Callable[[Array], Array],
        features: int,
        action_dim: int,
        initial_log_stddev: RealScalarLike,
        *,
        key: Key[Array, ""],
    ):
        """Draws the map to the mean; all deviations start alike."""
        self.torso, self.activation = torso, activation
        self.mean = eqx.nn.Linear(features, action_dim, key=key)
        self.log_stddev = jnp.full((features, action_dim), jnp.asarray(initial_log_stddev, float))

    def __call__(self, observation: PyTree[Array]) -> Distribution:
        """Returns the distribution of one action, in [−1, 1]."""
        features, mu = self._features_and_mean(observation)
        variance = jnp.square(features) @ jnp.exp(2 * self.log_stddev)
        return squashed_gaussian(mu, jnp.log(variance + _SMALLEST_VARIANCE))

    def act(self, observation: PyTree[Array], draw: Float[Array, "features action_dim"]) -> Float[Array, " action_dim"]:
        """Returns the action under given noise, a matrix of standard normal numbers."""
        features, mu = self._features_and_mean(observation)
        return jnp.tanh(mu + features @ (jnp.exp(self.log_stddev) * draw))

    def _features_and_mean(self, observation):
        features = self.activation(self.torso(observation))
        return features, jnp.clip(self.mean(features), -_FARTHEST, _FARTHEST)
