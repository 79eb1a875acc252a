"""Default networks, by the spaces they serve."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import Distribution, Spaces, example
from ..networks import MLP
from ..policies import Categorical, Gaussian


class ActorCritic(eqx.Module):
    """A policy and a value function.

    Attributes:
        actor: Maps an observation to a distribution over actions.
        critic: Maps an observation to its value, an array without axes.
    """

    actor: Callable[[PyTree[Array]], Distribution]
    critic: Callable[[PyTree[Array]], Float[Array, ""]]


class ValueFunction(eqx.Module):
    """The one output of a network, as a number.

    Attributes:
        network: Maps an observation to one feature.
    """

    network: Callable[[PyTree[Array]], Float[Array, "1"]]

    def __call__(self, observation: PyTree[Array]) -> Float[Array, ""]:
        """Returns the value."""
        return self.network(observation)[0]


def _actions(space) -> int:
    """Returns the number of actions of a Discrete space that counts from zero."""
    if space.start != 0:
        raise TypeError(f"actions must count from 0; got {space}: shift them inside the environment")
    return int(space.n)


def actor_critic(spaces: Spaces, hidden_sizes: Sequence[int], activation: str, *, key: Key[Array, ""]) -> ActorCritic:
    """Makes a perceptron each for the policy and for the value."""
    from gymnasium import spaces as kinds

    actor_key, critic_key = jax.random.split(key)
    observation = example(spaces.observation)
    nonlinearity = _activation(activation)

    def network(size, last_scale, key):
        return MLP(observation, size, hidden_sizes, activation=nonlinearity, last_scale=last_scale, key=key)

    if isinstance(spaces.action, kinds.Discrete):
        actor = Categorical(network(_actions(spaces.action), 0.01, actor_key))
    elif isinstance(spaces.action, kinds.Box) and len(spaces.action.shape) == 1:
        dimensions = spaces.action.shape[0]
        actor = Gaussian(network(dimensions, 0.01, actor_key), jnp.zeros(dimensions))
    else:
        raise TypeError(f"actions must be Discrete or a Box with one axis; got {spaces.action}")
    return ActorCritic(actor, ValueFunction(network(1, 1.0, critic_key)))


def q_network(spaces: Spaces, hidden_sizes: Sequence[int], activation: str, *, key: Key[Array, ""]) -> MLP:
    """Makes a perceptron from an observation to one value an action."""
    from gymnasium import spaces as kinds

    if not isinstance(spaces.action, kinds.Discrete):
        raise TypeError(f"actions must be Discrete; got {spaces.action}")
    return MLP(
        example(spaces.observation),
        _actions(spaces.action),
        hidden_sizes,
        activation=_activation(activation),
        orthogonal=False,
        key=key,
    )


def _activation(name: str) -> Callable[[Array], Array]:
    known = ("tanh", "relu", "silu", "elu", "gelu", "leaky_relu")
    if name not in known:
        raise ValueError(f"activation must be one of {', '.join(known)}; got {name!r}")
    return getattr(jax.nn, name)
