"""Action values as the value of the state and the advantage of each action."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


class Dueling(eqx.Module):
    r"""Two streams over shared features: what the state is worth, and what each action adds.

    $$Q(s, a) = V(s) + A(s, a) - \frac{1}{n} \sum_{a'} A(s, a')$$

    Where a value has atoms or quantiles, this holds for each of them.

    Attributes:
        torso: Maps an observation to features.
        value: Maps features to $V$, one number an atom.
        advantage: Maps features to $A$, one number an action and atom, the atoms of an action beside each other.
        shape: Number of actions, and of atoms where there are any.

    Example:
        >>> network = Dueling(lambda x: x, lambda x: x[:1], lambda x: x[1:], (2,))
        >>> network(jnp.array([10.0, 1.0, 3.0])).tolist()
        [9.0, 11.0]

    References:
        Wang et al., *Dueling Network Architectures for Deep Reinforcement Learning*, 2015, arXiv:1511.06581,
        equation 9.
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    value: Callable[[Float[Array, " features"]], Float[Array, " atoms"]]
    advantage: Callable[[Float[Array, " features"]], Float[Array, " all"]]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, observation: PyTree[Array]) -> Float[Array, "actions *atoms"]:
        """Returns the values."""
        features = self.torso(observation)
        value = self.value(features).reshape(1, *self.shape[1:])
        advantage = self.advantage(features).reshape(self.shape)
        return value + advantage - jnp.mean(advantage, axis=0, keepdims=True)
