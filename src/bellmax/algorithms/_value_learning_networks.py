"""Default networks of action values: with atoms, with two streams, with noise."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import Masked, Spaces
from ..networks import MLP, Dueling, ImplicitQuantiles, with_noise
from ._heads import num_actions
from ._networks import Unmasked, _activation, _network, q_network


class Activated(eqx.Module):
    """A network with a nonlinearity after its last layer too.

    Attributes:
        network: Maps an observation to features.
        activation: The nonlinearity.
    """

    network: Callable[[PyTree[Array]], Float[Array, " features"]]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " features"]:
        """Returns the features."""
        return self.activation(self.network(observation))


class Reshaped(eqx.Module):
    """A network whose outputs stand in rows, one an action.

    Attributes:
        network: Maps an observation to all outputs.
        shape: Number of actions, and of atoms of each.
    """

    network: Callable[[PyTree[Array]], Float[Array, " all"]]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, observation: PyTree[Array]) -> Float[Array, "actions atoms"]:
        """Returns the outputs."""
        return self.network(observation).reshape(self.shape)


def value_network(
    spaces: Spaces,
    hidden_sizes: Sequence[int],
    activation: str,
    *,
    atoms: int | None = None,
    dueling: bool = False,
    noisy: bool = False,
    key: Key[Array, ""],
) -> Callable[..., Any]:
    """Makes a network from an observation to one value an action, or to atoms of each.

    Args:
        spaces: Of observations, with or without an action mask, and of actions, which must be Discrete.
        hidden_sizes: Widths; with two streams each has the last of them to itself, if there are two.
        activation: Name of the nonlinearity.
        atoms: Numbers an action; None for one value, without an axis.
        dueling: Whether state and advantages have streams of their own.
        noisy: Whether the affine layers are noisy.
        key: Randomness of the weights.

    Returns:
        The network.
    """
    plain = q_network(spaces, hidden_sizes, activation, key=key)  # refuses what does not fit
    shape = _shape(spaces, atoms)
    observation, mask = Masked.of(spaces.observation)
    if dueling:
        torso, features, key = _torso(observation, hidden_sizes, activation, key)
        network = _streams(torso, features, hidden_sizes, activation, shape, key)
    elif atoms is None:
        return with_noise(plain) if noisy else plain
    else:
        settings = {"activation": _activation(activation), "orthogonal": False, "key": key}
        network = Reshaped(_network(observation, math.prod(shape), hidden_sizes, **settings), shape)
    network = network if mask is None else Unmasked(network)
    return with_noise(network) if noisy else network


def implicit_network(
    spaces: Spaces,
    hidden_sizes: Sequence[int],
    activation: str,
    *,
    cosines: int,
    dueling: bool = False,
    noisy: bool = False,
    key: Key[Array, ""],
) -> ImplicitQuantiles:
    """Makes a network from an observation and fractions to the quantiles of each action there.

    Args:
        spaces: Of observations, with or without an action mask, and of actions, which must be Discrete.
        hidden_sizes: Widths; the last stands behind the product with the embedding, if there are two.
        activation: Name of the nonlinearity.
        cosines: Features of a fraction before its affine map.
        dueling: Whether state and advantages have streams of their own.
        noisy: Whether the affine layers are noisy.
        key: Randomness of the weights.

    Returns:
        The network.
    """
    q_network(spaces, hidden_sizes, activation, key=key)  # refuses what does not fit
    observation, mask = Masked.of(spaces.observation)
    key, embedding_key = jax.random.split(key)
    torso, features, key = _torso(observation, hidden_sizes, activation, key)
    shape = _shape(spaces, None)
    if dueling:
        head = _streams(eqx.nn.Identity(), features, hidden_sizes, activation, shape, key)
    else:
        head = _stream(features, hidden_sizes, activation, shape[0], key)
    embedding = eqx.nn.Linear(cosines, features, key=embedding_key)
    network = ImplicitQuantiles(torso if mask is None else Unmasked(torso), embedding, head, cosines)
    return with_noise(network) if noisy else network


def _shape(spaces, atoms):
    size = num_actions(spaces.action)
    return (size,) if atoms is None else (size, atoms)


def _torso(observation, hidden_sizes, activation, key):
    """Makes features of all hidden layers but the last, or of the only one; returns them, their number, and a key."""
    if not hidden_sizes:
        raise ValueError("hidden_sizes: shared features need at least one hidden layer; got none")
    shared = hidden_sizes[:-1] or hidden_sizes
    torso_key, key = jax.random.split(key)
    nonlinearity = _activation(activation)
    settings = {"activation": nonlinearity, "orthogonal": False, "key": torso_key}
    return Activated(_network(observation, shared[-1], shared[:-1], **settings), nonlinearity), shared[-1], key


def _streams(torso, features, hidden_sizes, activation, shape, key) -> Dueling:
    value_key, advantage_key = jax.random.split(key)
    value = _stream(features, hidden_sizes, activation, math.prod(shape[1:]), value_key)
    advantage = _stream(features, hidden_sizes, activation, math.prod(shape), advantage_key)
    return Dueling(torso, value, advantage, shape)


def _stream(features, hidden_sizes, activation, size, key) -> MLP:
    """Makes what stands behind the shared features: a layer of the last width, if it is not the only one."""
    own = hidden_sizes[-1:] if len(hidden_sizes) > 1 else ()
    return MLP(jnp.zeros(features), size, own, activation=_activation(activation), orthogonal=False, key=key)
