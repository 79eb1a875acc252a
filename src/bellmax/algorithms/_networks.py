"""Default networks, by the spaces they serve."""

import abc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import Distribution, Masked, Spaces, example
from ..networks import MLP, Encoder
from ..policies import Categorical, Gaussian
from ._heads import Choice, Choices, head_of, num_actions

if TYPE_CHECKING:
    from gymnasium import Space


class AbstractActorCritic(eqx.Module):
    """A policy and a value function. Either can be called alone; the whole gives both, at the price that they share.

    Attributes:
        actor: Maps an observation to a distribution over actions.
        critic: Maps an observation to its value, an array without axes.
    """

    actor: eqx.AbstractVar[Callable[[PyTree[Array]], Distribution]]
    critic: eqx.AbstractVar[Callable[[PyTree[Array]], Float[Array, ""]]]

    @abc.abstractmethod
    def __call__(self, observation: PyTree[Array]) -> tuple[Distribution, Float[Array, ""]]:
        """Returns the distribution over actions, and the value."""


class ActorCritic(AbstractActorCritic):
    """A policy and a value function that share nothing.

    Attributes:
        actor: Maps an observation to a distribution over actions.
        critic: Maps an observation to its value, an array without axes.
    """

    actor: Callable[[PyTree[Array]], Distribution]
    critic: Callable[[PyTree[Array]], Float[Array, ""]]

    def __call__(self, observation: PyTree[Array]) -> tuple[Distribution, Float[Array, ""]]:
        """Returns the distribution over actions, and the value."""
        return self.actor(observation), self.critic(observation)


class SharedActorCritic(AbstractActorCritic):
    """A policy and a value function out of one network.

    Attributes:
        network: Maps an observation, without its action mask, to the outputs of the policy and, last, the value.
        head: Maps the outputs, and the action mask where there is one, to the distribution.
    """

    network: Callable[[PyTree[Array]], Float[Array, " size_and_value"]]
    head: Callable[..., Distribution]

    def __call__(self, observation: PyTree[Array]) -> tuple[Distribution, Float[Array, ""]]:
        """Returns the distribution over actions, and the value."""
        shown, mask = Masked.of(observation)
        outputs = self.network(shown)
        pi = self.head(outputs[:-1]) if mask is None else self.head(outputs[:-1], mask)
        return pi, outputs[-1]

    @property
    def actor(self) -> Callable[[PyTree[Array]], Distribution]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The policy alone."""
        return lambda observation: self(observation)[0]

    @property
    def critic(self) -> Callable[[PyTree[Array]], Float[Array, ""]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The value alone."""
        return lambda observation: self(observation)[1]


class ValueFunction(eqx.Module):
    """The one output of a network, as a number.

    Attributes:
        network: Maps an observation, without its action mask, to one feature.
    """

    network: Callable[[PyTree[Array]], Float[Array, "1"]]

    def __call__(self, observation: PyTree[Array]) -> Float[Array, ""]:
        """Returns the value."""
        return self.network(Masked.of(observation).observation)[0]


class Actor(eqx.Module):
    """A policy made of a network and of what turns its outputs into a distribution.

    Attributes:
        network: Maps an observation, without its action mask, to the outputs.
        head: Maps the outputs, and the action mask where there is one, to the distribution.
    """

    network: Callable[[PyTree[Array]], Float[Array, " size"]]
    head: Callable[..., Distribution]

    def __call__(self, observation: PyTree[Array]) -> Distribution:
        """Returns the distribution over actions."""
        observation, mask = Masked.of(observation)
        outputs = self.network(observation)
        return self.head(outputs) if mask is None else self.head(outputs, mask)


class Unmasked(eqx.Module):
    """A network that does not see the action mask beside an observation.

    Attributes:
        network: Maps an observation, without its action mask, to one value an action.
    """

    network: Callable[[PyTree[Array]], Float[Array, " actions"]]

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " actions"]:
        """Returns the values."""
        return self.network(Masked.of(observation).observation)


def actor_critic(
    spaces: Spaces,
    hidden_sizes: Sequence[int],
    activation: str,
    *,
    shared: bool = False,
    convolution: bool = True,
    head: Any = None,
    key: Key[Array, ""],
) -> AbstractActorCritic:
    """Makes a network each for the policy and for the value, or one for both; None for the head of the space."""
    actor_key, critic_key = jax.random.split(key)
    observation, mask = Masked.of(spaces.observation)
    nonlinearity = _activation(activation)

    def network(size, last_scale, key):
        settings = {"activation": nonlinearity, "last_scale": last_scale, "convolution": convolution}
        return _network(observation, size, hidden_sizes, **settings, key=key)

    own = head is not None
    head = head if own else head_of(spaces.action)
    _check_mask(mask, head, spaces)
    if shared:
        both = network(head.size + 1, (*[0.01] * head.size, 1.0), actor_key)
        return SharedActorCritic(network=both, head=head)  # pyright: ignore[reportCallIssue]
    outputs = network(head.size, 0.01, actor_key)
    actor = Actor(outputs, head) if own or mask is not None else _actor(spaces.action, outputs, head)
    return ActorCritic(actor, ValueFunction(network(1, 1.0, critic_key)))


def q_network(
    spaces: Spaces,
    hidden_sizes: Sequence[int],
    activation: str,
    *,
    layer_norm: bool = False,
    convolution: bool = True,
    key: Key[Array, ""],
) -> Callable[[PyTree[Array]], Float[Array, " actions"]]:
    """Makes a network from an observation to one value an action."""
    from gymnasium import spaces as kinds

    if not isinstance(spaces.action, kinds.Discrete):
        raise TypeError(f"actions must be Discrete; got {spaces.action}")
    observation, mask = Masked.of(spaces.observation)
    size = num_actions(spaces.action)
    _check_mask(mask, Choice(size), spaces)
    settings = {"activation": _activation(activation), "orthogonal": False, "layer_norm": layer_norm}
    network = _network(observation, size, hidden_sizes, **settings, convolution=convolution, key=key)
    return network if mask is None else Unmasked(network)


def legal(q: Float[Array, " actions"], observation: PyTree[Array]) -> Float[Array, " actions"]:
    """Returns action values, −∞ for actions that the mask beside the observation forbids."""
    mask = Masked.of(observation).action_mask
    return q if mask is None else jnp.where(mask != 0, q, -jnp.inf)


def _network(
    space: "Space[Any]", size: int, hidden_sizes: Sequence[int], *, convolution: bool = True, **settings
) -> MLP | Encoder:
    """Makes a perceptron for flat observations, an encoder for others."""
    from gymnasium import spaces as kinds

    if isinstance(space, kinds.Box) and len(space.shape) < 3:
        return MLP(example(space), size, hidden_sizes, **settings)
    return Encoder(space, size, hidden_sizes, convolution=convolution, **settings)


def _actor(space: "Space[Any]", network: MLP | Encoder, head: Any) -> Callable[[PyTree[Array]], Distribution]:
    from gymnasium import spaces as kinds

    if isinstance(space, kinds.Discrete):
        return Categorical(network)
    if isinstance(space, kinds.Box):
        return Gaussian(network, head.logvar)
    return Actor(network, head)


def _check_mask(mask: "Space[Any] | None", head: Any, spaces: Spaces) -> None:
    """Refuses action masks that do not fit the actions."""
    if mask is None:
        return
    if not isinstance(head, Choice | Choices):
        raise TypeError(f"an action mask needs Discrete or MultiDiscrete actions; got {spaces.action}")
    if mask.shape != (head.size,):
        raise TypeError(f"an action mask for {spaces.action} has shape ({head.size},); got {mask}")


def _activation(name: str) -> Callable[[Array], Array]:
    known = ("tanh", "relu", "silu", "elu", "gelu", "leaky_relu")
    if name not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}; got {name!r}")
    return getattr(jax.nn, name)
