"""From the outputs of a network to a distribution over actions, by the space of the actions."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import Distribution
from ..policies import bernoulli, categorical, gaussian, joint, multi_discrete

if TYPE_CHECKING:
    from gymnasium import Space


class Choice(eqx.Module):
    """One of n, by a softmax."""

    size: int = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " size"], mask: Array | None = None) -> Distribution:
        """Returns the distribution; 1 or true in the mask for what is legal."""
        return categorical(outputs, mask=mask)


class Choices(eqx.Module):
    """Several choices, each by its own softmax."""

    nvec: tuple[int, ...] = eqx.field(static=True)

    @property
    def size(self) -> int:
        """Number of outputs: one an option."""
        return sum(self.nvec)

    def __call__(self, outputs: Float[Array, " size"], mask: Array | None = None) -> Distribution:
        """Returns the distribution; 1 or true in the mask for the options that are legal."""
        return multi_discrete(outputs, self.nvec, mask=mask)


class Switches(eqx.Module):
    """Several switches, each on or off."""

    size: int = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " size"]) -> Distribution:
        """Returns the distribution."""
        return bernoulli(outputs)


class Normal(eqx.Module):
    """A Gaussian around the outputs, of a width that is learned and the same for every observation."""

    logvar: Float[Array, " size"]

    @property
    def size(self) -> int:
        """Number of outputs: one a dimension."""
        return self.logvar.size

    def __call__(self, outputs: Float[Array, " size"]) -> Distribution:
        """Returns the distribution."""
        return gaussian(outputs, self.logvar)


class Parts(eqx.Module):
    """The parts of a Dict or a Tuple, independent of each other, each from its own outputs."""

    heads: dict[str, Any] | tuple[Any, ...]

    @property
    def _names(self) -> list[Any]:
        return sorted(self.heads) if isinstance(self.heads, dict) else [*range(len(self.heads))]

    @property
    def size(self) -> int:
        """Number of outputs of all parts."""
        return sum(self.heads[name].size for name in self._names)

    def __call__(self, outputs: Float[Array, " size"]) -> Distribution:
        """Returns the distribution, over actions of the structure of the space."""
        made, start = {}, 0
        for name in self._names:
            end = start + self.heads[name].size
            made[name] = self.heads[name](outputs[start:end])
            start = end
        return joint(made if isinstance(self.heads, dict) else tuple(made.values()))


def num_actions(space: Any) -> int:
    """Returns the number of actions of a Discrete space; TypeError if it does not count from zero."""
    _check_start(space, space.start == 0)
    return int(space.n)


def head_of(space: "Space[Any]") -> Any:
    """Makes the head that serves a space of actions; TypeError if there is none."""
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        return Choice(num_actions(space))
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        _check_start(space, not space.start.any())
        return Choices(tuple(map(int, space.nvec)))
    if isinstance(space, spaces.MultiBinary) and len(space.shape) == 1:
        return Switches(space.shape[0])
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return Normal(jnp.zeros(space.shape[0]))
    if isinstance(space, spaces.Dict) and len(space):
        return Parts({name: head_of(part) for name, part in space.items()})
    if isinstance(space, spaces.Tuple) and len(space):
        return Parts(tuple(head_of(part) for part in space))
    raise TypeError(
        "actions must be Discrete, MultiDiscrete, MultiBinary or a Box with one axis, or a Dict or Tuple of those; "
        f"got {space}"
    )


def _check_start(space: Any, is_zero: bool) -> None:
    if not is_zero:
        raise TypeError(f"actions must count from 0; got {space}: shift them inside the environment")
