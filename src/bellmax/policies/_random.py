"""Random actions in any space."""

import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr
from jax.scipy.stats import norm
from jaxtyping import Array

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
            inside = _integers(inside_key, low, high)
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
        distance = jax.random.exponential(half_key, low.shape, _float(low))
        free = jax.random.normal(free_key, low.shape, _float(low))
        if self._whole:
            distance, free = (jnp.floor(x).astype(low.dtype) for x in (distance, free))
            # Beyond a bound near the end of the type there may be nothing.
            smallest, largest = (jnp.asarray(end, low.dtype) for end in _ends(self.dtype))
            room = jnp.where(below, largest - jnp.maximum(low, 0), jnp.minimum(high, -1) - smallest)
            distance = jnp.minimum(distance, room)
        return jnp.where(below, low + distance, jnp.where(above, high - distance, free))

    def _sample_n_and_log_prob(self, key, n):
        actions = self._sample_n(key, n)
        return actions, self.log_prob(actions)

    def log_prob(self, value):
        """Returns the log-density, or log-probability of whole numbers, of actions of shape `*sample *batch *event`.

        It is −∞ outside the space. A dimension without width counts as sure.
        """
        value = jnp.asarray(value)
        if value.ndim < self.low.ndim or value.shape[value.ndim - self.low.ndim :] != self.low.shape:
            raise TypeError(
                f"{self.name}: actions must have shape (*sample, *batch, *event) ending in {self.low.shape}; "
                f"got {value.shape}"
            )
        if self._whole and jnp.issubdtype(value.dtype, jnp.inexact):
            raise TypeError(f"{self.name}: an action of this space must be integer or boolean; got {value.dtype}")
        value = value.astype(self.low.dtype)
        low, high, below, above = (jnp.broadcast_to(getattr(self, name), value.shape) for name in self.leaves)
        inside = -jnp.broadcast_to(self._log_width, value.shape)
        legal = (~below | (value >= low)) & (~above | (value <= high))
        if self.bounded:
            return self._total(jnp.where(legal, inside, -jnp.inf))
        distance = jnp.where(below, value - low, high - value).astype(_float(self.low))
        half = -distance + (math.log(-math.expm1(-1)) if self._whole else 0)
        free = (_log_floored_normal if self._whole else norm.logpdf)(value.astype(_float(self.low)))
        log_prob = jnp.where(below & above, inside, jnp.where(below | above, half, free))
        return self._total(jnp.where(legal, log_prob, -jnp.inf))

    def entropy(self):
        """Returns the entropy in nats, summed over the numbers of an action."""
        half, free = (_GEOMETRIC_ENTROPY, _FLOORED_NORMAL_ENTROPY) if self._whole else (1, _NORMAL_ENTROPY)
        below, above, width = self.bounded_below, self.bounded_above, self._log_width
        half, free = jnp.asarray(half, width.dtype), jnp.asarray(free, width.dtype)
        return self._total(jnp.where(below & above, width, jnp.where(below | above, half, free)))

    def mode(self):
        """Returns the middle between two bounds, rounded down; the one bound; or zero."""
        low, high = self.low, self.high
        middle = (low >> 1) + (high >> 1) + (low & high & 1) if self._whole else low / 2 + high / 2
        half = jnp.where(self.bounded_below, low, high)  # zero where there is neither
        return jnp.where(self.bounded_below & self.bounded_above, middle, half).astype(self.dtype)

    @property
    def _whole(self) -> bool:
        return not jnp.issubdtype(self.low.dtype, jnp.inexact)

    @property
    def _log_width(self) -> Array:
        if self._whole:
            return jnp.log1p((self.high - self.low).astype(_unsigned(self.low)).astype(_float(self.low)))
        half = self.high / 2 - self.low / 2
        return jnp.where(half > 0, jnp.log(jnp.where(half > 0, half, 1)) + math.log(2), 0)

    def _total(self, x):
        return jnp.sum(x, axis=tuple(range(x.ndim - self.event_ndims, x.ndim)))


def _float(x):
    return x.dtype if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.zeros(()).dtype


def _unsigned(x):
    return jnp.dtype(f"uint{8 * x.dtype.itemsize}")


def _ends(dtype) -> tuple[int, int]:
    return (0, 1) if dtype.kind == "b" else (int(jnp.iinfo(dtype).min), int(jnp.iinfo(dtype).max))


def _integers(key, low, high):
    """Draws whole numbers from low to high, both included, even where there are as many as the type can count."""
    some_key, all_key = jax.random.split(key)
    kind = _unsigned(low)
    span = (high - low).astype(kind)
    every = span == jnp.asarray(jnp.iinfo(kind).max, kind)
    some = jax.random.randint(some_key, low.shape, jnp.zeros_like(span), jnp.where(every, span, span + 1), kind)
    return low + jnp.where(every, jax.random.bits(all_key, low.shape, kind), some).astype(low.dtype)


def _log_floored_normal(x):
    """Returns the logarithm of Φ(x + 1) − Φ(x), taken on the side where both are small."""
    lower = jnp.where(x >= 0, -x - 1, x)
    upper = log_ndtr(lower + 1)
    return upper + jnp.log1p(-jnp.exp(log_ndtr(lower) - upper))


def _entropy(probs) -> float:
    return -sum(p * math.log(p) for p in probs if p > 0)


_NORMAL_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
_GEOMETRIC_ENTROPY = _entropy(math.exp(-k) - math.exp(-k - 1) for k in range(60))
_FLOORED_NORMAL_ENTROPY = 2 * _entropy((math.erf((k + 1) / 2**0.5) - math.erf(k / 2**0.5)) / 2 for k in range(12))


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
        unless JAX is told to use 64 bits); for a Dict or a Tuple what `joint` returns. Draw many with `sample_shape`.

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
