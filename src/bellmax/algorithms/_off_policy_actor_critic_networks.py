"""Default networks of actors and critics that learn from replay, and critics as one ensemble."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import Distribution, Masked, RealScalarLike, Spaces, functions_as_nodes
from ..networks import Encoder
from ..policies import squashed_gaussian
from ._exploration_state_dependent import StateDependentActor
from ._networks import _activation

_LOG_STDDEV = (-20.0, 2.0)
"""Bounds of the logarithm of a squashed Gaussian's deviation, before squashing."""


class ActorQ(eqx.Module):
    """A policy and a value of actions.

    Attributes:
        actor: Maps an observation to a distribution over actions in [−1, 1], or to one such action, or to the logits of
            discrete actions.
        critic: Maps an observation and an action in [−1, 1] to its value, or to quantiles; or an observation to one
            value for each discrete action.
    """

    actor: Callable[..., Any]
    critic: Callable[..., Array]


class SquashedActor(eqx.Module):
    """A Gaussian squashed into [−1, 1].

    Attributes:
        network: Maps an observation to the means, then the logarithms of the deviations.
    """

    network: Callable[[PyTree[Array]], Float[Array, " twice_action_dim"]]

    def __call__(self, observation: PyTree[Array]) -> Distribution:
        """Returns the distribution."""
        mu, log_stddev = jnp.split(self.network(observation), 2)
        return squashed_gaussian(mu, 2 * jnp.clip(log_stddev, *_LOG_STDDEV))


class DeterministicActor(eqx.Module):
    """One action in [−1, 1].

    Attributes:
        network: Maps an observation to the action before squashing.
    """

    network: Callable[[PyTree[Array]], Float[Array, " action_dim"]]

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " action_dim"]:
        """Returns the action."""
        return jnp.tanh(self.network(observation))


class ActionQuantiles(eqx.Module):
    """Quantiles of the return of an action.

    Attributes:
        network: Maps an observation and an action, as a pair, to the quantiles.
    """

    network: Callable[[PyTree[Array]], Float[Array, " quantiles"]]

    def __call__(self, observation: PyTree[Array], action: Float[Array, " action_dim"]) -> Float[Array, " quantiles"]:
        """Returns the quantiles."""
        return self.network((observation, action))


class ActionValue(eqx.Module):
    """The value of an action.

    Attributes:
        network: Maps an observation and an action, as a pair, to one feature.
    """

    network: Callable[[PyTree[Array]], Float[Array, "1"]]

    def __call__(self, observation: PyTree[Array], action: Float[Array, " action_dim"]) -> Float[Array, ""]:
        """Returns the value."""
        return self.network((observation, action))[0]


class Networks(eqx.Module):
    """Makes default networks for observations of any space, with uniform weights in ±1/√inputs.

    Attributes:
        spaces: Which they serve.
        hidden_sizes: Widths of the hidden layers.
        activation: Their nonlinearity, by name.
    """

    spaces: Spaces = eqx.field(static=True)
    hidden_sizes: Sequence[int] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __check_init__(self):
        if Masked.of(self.spaces.observation).action_mask is not None:
            raise TypeError(f"an action mask needs Discrete or MultiDiscrete actions; got {self.spaces.action}")

    def squashed_actor(self, *, key: Key[Array, ""]) -> SquashedActor:
        """Makes a Gaussian actor."""
        return SquashedActor(self._network(self.spaces.observation, 2 * self._action_dim, self.hidden_sizes, key))

    def state_dependent_actor(self, initial_log_stddev: RealScalarLike, *, key: Key[Array, ""]) -> StateDependentActor:
        """Makes a Gaussian actor with state-dependent exploration."""
        torso_key, key = jax.random.split(key)
        *hidden, features = self.hidden_sizes
        torso = self._network(self.spaces.observation, features, hidden, torso_key)
        nonlinearity = _activation(self.activation)
        return StateDependentActor(torso, nonlinearity, features, self._action_dim, initial_log_stddev, key=key)

    def deterministic_actor(self, *, key: Key[Array, ""]) -> DeterministicActor:
        """Makes an actor without noise."""
        return DeterministicActor(self._network(self.spaces.observation, self._action_dim, self.hidden_sizes, key))

    def action_value(self, *, key: Key[Array, ""]) -> ActionValue:
        """Makes a critic."""
        return ActionValue(self._network(self._pair, 1, self.hidden_sizes, key))

    def action_quantiles(self, quantiles: int, *, key: Key[Array, ""]) -> ActionQuantiles:
        """Makes a critic with quantiles."""
        return ActionQuantiles(self._network(self._pair, quantiles, self.hidden_sizes, key))

    @property
    def _action_dim(self) -> int:
        return self.spaces.action.shape[0]  # pyright: ignore[reportOptionalSubscript]

    @property
    def _pair(self) -> Any:
        from gymnasium import spaces

        return spaces.Tuple((self.spaces.observation, self.spaces.action))

    def _network(self, space: Any, size: int, hidden_sizes: Sequence[int], key: Key[Array, ""]) -> Encoder:
        nonlinearity = _activation(self.activation)
        return Encoder(space, size, hidden_sizes, activation=nonlinearity, orthogonal=False, key=key)


def ensemble(make: Callable[..., ActorQ], members: int, *, key: Key[Array, ""]) -> Any:
    """Makes several critics as one module, whose arrays have a leading axis `members`."""
    return eqx.filter_vmap(lambda key: functions_as_nodes(make(key=key).critic))(jax.random.split(key, members))


def predictions(critics: Any, *inputs: PyTree[Array]) -> Float[Array, "members batch *outputs"]:
    """Asks every member of an ensemble about a batch.

    On a CPU the members are asked one after the other: a product of matrices with an axis of members takes up to twice
    as long there as its parts.
    """
    if jax.default_backend() != "cpu":
        return eqx.filter_vmap(lambda critic: jax.vmap(critic)(*inputs))(critics)
    arrays, rest = eqx.partition(critics, eqx.is_array)
    members = jax.tree.leaves(arrays)[0].shape[0]
    each = (eqx.combine(jax.tree.map(lambda leaf, i=i: leaf[i], arrays), rest) for i in range(members))
    return jnp.stack([jax.vmap(critic)(*inputs) for critic in each])
