"""Random actions in any space."""

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm
from jaxtyping import Array

from .._core import guard
from ._categorical import uniform
from ._intervals import (
    FLOORED_NORMAL_ENTROPY,
    GEOMETRIC_ENTROPY,
    NORMAL_ENTROPY,
    ends_of,
    float_like,
    integers,
    log_floored_normal,
    unsigned_like,
)
from ._joint import joint
from ._pytree import PytreeDistribution

if TYPE_CHECKING:
    from gymnasium import Space


class RandomDistribution(PytreeDistribution):
    """The distribution that `random_policy` returns for a space of one array: independent numbers between bounds."""

    leaves = ("low", "high", "bounded_below", "bounded_above")
    low: Array
    high: Array
    bounded_below: Array
    bounded_above: Array
    event_ndims: int
    bounded: bool
    dtype: Any = None

    def tree_flatten(self):
        """Lists the leaves; the axes and the type of an action are static, and whether all its numbers are bounded."""
        return tuple(getattr(self, name) for name in self.leaves), (self.event_ndims, self.dtype, self.bounded)

    def flatten_with_keys(self) -> tuple[Any, Any]:
        """Lists the leaves with their names."""
        children, static = self.tree_flatten()
        keys = (jax.tree_util.GetAttrKey(name) for name in self.leaves)
        return tuple(zip(keys, children, strict=True)), static

    @classmethod
    def tree_unflatten(cls, aux_data, children):
        """Puts the leaves back, without looking at them."""
        distribution = super().tree_unflatten(None, children)
        distribution.event_ndims, distribution.dtype, distribution.bounded = aux_data
        return distribution

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return self.low.shape[self.low.ndim - self.event_ndims :]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        return self.low.shape[: self.low.ndim - self.event_ndims]

    def _sample_n(self, key, n):
        inside_key, beyond_key = jax.random.split(key)
        shape = (n, *self.low.shape)
        low, high, below, above = (jnp.broadcast_to(getattr(self, name), shape) for name in self.leaves)
        if self._whole:
            inside = integers(inside_key, low, high)
        else:
            u = jax.random.uniform(inside_key, shape, low.dtype)
            inside = jnp.clip(low * (1 - u) + high * u, low, high)
        if self.bounded:
            return inside.astype(self.dtype)
        beyond = self._beyond(beyond_key, low, high, below, above)
        return jnp.where(below & above, inside, beyond).astype(self.dtype)

    def _beyond(self, key, low, high, below, above):
        """Draws numbers with one bound, or none."""
        half_key, free_key = jax.random.split(key)
        distance = jax.random.exponential(half_key, low.shape, float_like(low))
        free = jax.random.normal(free_key, low.shape, float_like(low))
        if self._whole:
            distance, free = (jnp.floor(x).astype(low.dtype) for x in (distance, free))
            # Beyond a bound near the end of the type there may be nothing.
            smallest, largest = (jnp.asarray(end, low.dtype) for end in ends_of(self.dtype))
            room = jnp.where(below, largest - jnp.maximum(low, 0), jnp.minimum(high, -1) - smallest)
            distance = jnp.minimum(distance, room)
        return jnp.where(below, low + distance, jnp.where(above, high - distance, free))

    def log_prob(self, value):
        """Returns the log-density, or log-probability of whole numbers, of actions of shape `*sample *batch *event`.

        It is −∞ outside the space. A dimension without width counts as sure.
        """
        value = self._checked_actions(value)
        if self._whole and jnp.issubdtype(value.dtype, jnp.inexact):
            raise TypeError(f"{self.name}: an action of this space must be integer or boolean; got {value.dtype}")
        value, fits = self._in_type_of_bounds(value)
        low, high, below, above = (jnp.broadcast_to(getattr(self, name), value.shape) for name in self.leaves)
        inside = -jnp.broadcast_to(self._log_width, value.shape)
        legal = fits & (~below | (value >= low)) & (~above | (value <= high))
        if self.bounded:
            return self._total(jnp.where(legal, inside, -jnp.inf))
        distance = jnp.where(below, value - low, high - value).astype(float_like(self.low))
        half = -distance + (math.log(-math.expm1(-1)) if self._whole else 0)
        free = (log_floored_normal if self._whole else norm.logpdf)(value.astype(float_like(self.low)))
        log_prob = jnp.where(below & above, inside, jnp.where(below | above, half, free))
        return self._total(jnp.where(legal, log_prob, -jnp.inf))

    def entropy(self):
        """Returns the entropy in nats, summed over the numbers of an action."""
        half, free = (GEOMETRIC_ENTROPY, FLOORED_NORMAL_ENTROPY) if self._whole else (1, NORMAL_ENTROPY)
        below, above, width = self.bounded_below, self.bounded_above, self._log_width
        half, free = jnp.asarray(half, width.dtype), jnp.asarray(free, width.dtype)
        return self._total(jnp.where(below & above, width, jnp.where(below | above, half, free)))

    def mode(self):
        """Returns the middle between two bounds, rounded down; the one bound; or zero."""
        low, high = self.low, self.high
        middle = (low >> 1) + (high >> 1) + (low & high & 1) if self._whole else low / 2 + high / 2
        half = jnp.where(self.bounded_below, low, high)  # zero where there is neither
        return jnp.where(self.bounded_below & self.bounded_above, middle, half).astype(self.dtype)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, between spaces with all bounds, or that are the same; +∞ beyond the other.

        Spaces with a bound missing that are known to differ raise ValueError; under a transform they give NaN.
        """
        if not isinstance(other_dist, RandomDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        if self.low.dtype != other_dist.low.dtype:
            types = f"{self.dtype} and {other_dist.dtype}"
            raise TypeError(f"{self.name}: a divergence is between spaces of one type; got {types}")
        low, high, other_low, other_high = self.low, self.high, other_dist.low, other_dist.high
        same = (low == other_low) & (high == other_high)
        if self.bounded and other_dist.bounded:
            sure = (low == high) & ~same & (not self._whole)  # a density has nothing to say of one point
            contained = (low >= other_low) & (high <= other_high) & ~sure
            return self._total(jnp.where(contained, other_dist._log_width - self._log_width, jnp.inf))
        same &= self.bounded_below == other_dist.bounded_below
        same &= self.bounded_above == other_dist.bounded_above
        message = f"{self.name}: where a bound is missing a divergence is known to the same space only; True where same"
        same = guard(same, lambda same: same, message)
        return self._total(jnp.where(same, jnp.zeros_like(self._log_width), jnp.nan))

    def _in_type_of_bounds(self, value) -> tuple[Array, Array]:
        """Returns actions in the type of the bounds, and whether they are in its range."""
        value = value.astype(jnp.int32) if value.dtype == bool else value
        cast = value.astype(self.low.dtype)
        if not self._whole:
            return cast, jnp.ones(value.shape, bool)
        return cast, (cast.astype(value.dtype) == value) & ((cast < 0) == (value < 0))

    @property
    def _whole(self) -> bool:
        return not jnp.issubdtype(self.low.dtype, jnp.inexact)

    @property
    def _log_width(self) -> Array:
        if self._whole:
            return jnp.log1p((self.high - self.low).astype(unsigned_like(self.low)).astype(float_like(self.low)))
        half = self.high / 2 - self.low / 2
        return jnp.where(half > 0, jnp.log(jnp.where(half > 0, half, 1)) + math.log(2), 0)

    def _total(self, x):
        return jnp.sum(x, axis=tuple(range(x.ndim - self.event_ndims, x.ndim)))


def random_policy(space: "Space[Any]") -> PytreeDistribution:
    r"""Draws from any gymnasium space as `space.sample` does, and knows with which probability.

    $$\pi(a) = \prod_i \begin{cases} 1 / (h_i - l_i) & l_i \le a_i \le h_i \\ e^{-(a_i - l_i)} & a_i \ge l_i \\
    e^{-(h_i - a_i)} & a_i \le h_i \\ \mathcal{N}(a_i; 0, 1) & \text{without bounds} \end{cases}$$

    A discrete number is uniform over its values; an integer Box with a bound missing rounds the above down. The choices
    of a Dict or a Tuple are independent.

    Args:
        space: Any of Discrete, MultiDiscrete, MultiBinary, Box, and Dict and Tuple of these.

    Returns:
        A `distrax.Distribution` without batch axes over actions of the space, of the space's type (int32 for int64
        unless JAX is told to use 64 bits); for a Dict or a Tuple what `joint` returns, for a Discrete that counts from
        0 what `uniform` returns, with int32 actions. Draw many with `sample_shape`.

    Raises:
        TypeError: If the space has no fixed shape.
        ValueError: If a bound does not fit the action's type.

    Example:
        >>> import jax
        >>> from gymnasium.spaces import Box, Dict, Discrete
        >>> pi = random_policy(Dict(gear=Discrete(5, start=1), wheel=Box(-1, 1, (2,))))
        >>> action = pi.sample(seed=jax.random.key(0))
        >>> round(float(pi.log_prob(action)), 4) == round(-math.log(5) - 2 * math.log(2), 4)
        True

    References:
        Towers et al., *Gymnasium: A Standard Interface for Reinforcement Learning Environments*, 2024,
        arXiv:2407.17032.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        return joint({name: random_policy(part) for name, part in space.items()})
    if isinstance(space, spaces.Tuple):
        return joint(tuple(random_policy(part) for part in space))
    if isinstance(space, spaces.Box):
        return _between(space, space.low, space.high, space.bounded_below, space.bounded_above)
    if isinstance(space, spaces.MultiBinary):
        return _between(space, np.zeros(space.shape, int), np.ones(space.shape, int))
    if isinstance(space, spaces.Discrete) and space.start == 0:
        return uniform(jnp.ones(int(space.n), bool))
    if isinstance(space, spaces.Discrete):
        return _between(space, np.asarray(space.start), np.asarray(space.start + space.n - 1))
    if isinstance(space, spaces.MultiDiscrete):
        return _between(space, space.start, space.start + space.nvec - 1)
    raise TypeError(
        f"random_policy: the space must be a Discrete, MultiDiscrete, MultiBinary, Box, Dict or Tuple; got {space}"
    )


def _between(space, low, high, below: Any = True, above: Any = True) -> RandomDistribution:
    dtype = jax.dtypes.canonicalize_dtype(space.dtype)
    narrow = not jnp.issubdtype(dtype, jnp.inexact) and dtype.itemsize < 4
    wide = jnp.dtype(jnp.int32) if narrow else np.promote_types(dtype, np.float32) if dtype.kind == "f" else dtype
    below, above = np.broadcast_to(below, low.shape), np.broadcast_to(above, low.shape)
    low, high = (np.where(known, bound, np.zeros_like(bound)) for bound, known in ((low, below), (high, above)))
    bounds = low.astype(wide), high.astype(wide)
    if dtype.kind == "f":  # rounded inwards
        towards = np.array(np.inf, wide)
        bounds = (
            np.where(bounds[0] < low, np.nextafter(bounds[0], towards), bounds[0]),
            np.where(bounds[1] > high, np.nextafter(bounds[1], -towards), bounds[1]),
        )
    elif not all(np.array_equal(new.astype(old.dtype), old) for new, old in zip(bounds, (low, high), strict=True)):
        raise ValueError(f"random_policy: the bounds must fit {wide}; got {space}: set jax_enable_x64")
    children = (*(jnp.asarray(bound) for bound in bounds), jnp.asarray(below), jnp.asarray(above))
    return RandomDistribution.tree_unflatten((low.ndim, dtype, bool(np.all(below & above))), children)
