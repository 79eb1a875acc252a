"""What all distributions over real actions share."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from .._core import guard
from ._independent import Independent


def _of_distribution(method: str) -> Any:
    """Makes a method that asks `distribution`, where there is one, and otherwise says what was asked in vain."""

    def ask(self, *args):
        if type(self).distribution is Continuous.distribution:
            raise NotImplementedError(f"{self.name}: no closed form is known for {method}; estimate it from samples")
        return getattr(distrax.Independent, method)(self, *args)

    return ask


class Continuous(Independent):
    """A distribution over actions with one axis of dimensions, each drawn by itself.

    The leaves all have the shape `*batch action_dim`. Log-probabilities, entropies and divergences are summed over the
    dimensions, in float32 or wider; a sample has the type of the first leaf.
    """

    @property
    def distribution(self):
        """One distrax distribution a dimension, where distrax has it."""
        raise NotImplementedError(
            f"{self.name}: no closed form is known for a divergence to another kind of distribution; estimate it from "
            "samples and their log-probabilities with bellmax.losses.approximate_kl"
        )

    mean = _of_distribution("mean")
    median = _of_distribution("median")
    stddev = _of_distribution("stddev")
    variance = _of_distribution("variance")
    log_cdf = _of_distribution("log_cdf")

    @property
    def dtype(self):
        """Type of a sampled action."""
        return self._first.dtype

    def _in_type(self, dtype):
        """The same distribution with parameters of another type."""
        return jax.tree.map(lambda leaf: leaf.astype(dtype), self)


def wider_type(value: Array, dtype):
    """Returns the type in which neither actions nor parameters of a type lose digits."""
    with jax.numpy_dtype_promotion("standard"):
        return jnp.promote_types(value.dtype, dtype)


def bounds_like(parameter: Array, low, high, function: str) -> tuple[Array, Array]:
    """Returns the bounds of a box in the shape and type of a parameter; refuses an empty or unbounded box."""
    # What is constant is known under `jit` too, but not what JAX makes of it there.
    xp = jnp if isinstance(low, Tracer) or isinstance(high, Tracer) else np
    box = guard(
        xp.stack(xp.broadcast_arrays(xp.asarray(low, parameter.dtype), xp.asarray(high, parameter.dtype))),
        lambda box: xp.isfinite(box).all() & (box[0] < box[1]).all(),
        f"{function}: low must be below high, and both finite",
    )
    low, high = (jnp.broadcast_to(jnp.asarray(bound), parameter.shape) for bound in box)
    return low, high


def inside(low: Array, high: Array) -> tuple[Array, Array]:
    """Returns the outermost numbers strictly between the bounds that their type can tell from them."""
    low, high = jax.lax.stop_gradient((low, high))
    width, of_type = high - low, jnp.finfo(low.dtype)
    # Next to zero lies a subnormal number, which counts as zero; and the slope of a logarithm there must be finite.
    least = jnp.maximum(max(float(of_type.tiny), 1e-30) * width, max(float(of_type.smallest_subnormal), 1e-30))
    least = jnp.minimum(least, width / 4)
    return jnp.maximum(jnp.nextafter(low, high), low + least), jnp.minimum(jnp.nextafter(high, low), high - least)


def is_outside(value: Array, low: Array, high: Array) -> Array:
    """Returns whether any dimension of an action, rounded to the type of the bounds, is outside; never for NaN."""
    value = value.astype(low.dtype)
    low, high = jnp.broadcast_to(low, value.shape), jnp.broadcast_to(high, value.shape)
    return jnp.any((value < low) | (value > high), axis=-1) & ~jnp.any(jnp.isnan(value), axis=-1)


def where_same_box(divergence: Any, one, other) -> Array:
    """Returns a divergence where two boxes are the same and NaN elsewhere; a ValueError if they are known to differ."""
    boxes = jnp.stack([one.low, one.high]), jnp.stack([other.low, other.high])
    same = guard(
        boxes[0] == boxes[1],
        lambda same: same,
        f"{one.name}: a divergence has a closed form only between equal bounds; for others estimate it with "
        "bellmax.losses.approximate_kl; bounds are equal where True",
    )
    return jnp.where(same.all(axis=(0, -1)), divergence, jnp.nan)
