"""Means over examples, within a device and across devices."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ._checked import checked
from ._numerics import at_least_float32


def pmean(tree: PyTree[Array], axis_name: str | None) -> PyTree[Array]:
    """Averages across a mapped axis; returns the tree untouched without one."""
    return tree if axis_name is None else jax.lax.pmean(tree, axis_name)


def psum(tree: PyTree[Array], axis_name: str | None) -> PyTree[Array]:
    """Adds up across a mapped axis; returns the tree untouched without one."""
    return tree if axis_name is None else jax.lax.psum(tree, axis_name)


@checked
def masked_mean(
    x: Float[Array, "*batch"], mask: Bool[Array, "*batch"] | Float[Array, "*batch"], axis_name: str | None = None
) -> Float[Array, ""]:
    r"""Averages the examples that a mask keeps.

    $$\frac{\sum_i m_i x_i}{\bar m}, \qquad \bar m = \text{pmean}_{devices} \sum_i m_i$$

    The denominator is averaged across devices, the numerator is not: the `pmean` of this value, and of its gradients,
    is then the mean over all examples of all devices, however unevenly the mask falls on them.

    Args:
        x: One number an example. What the mask drops may be infinite or NaN.
        mask: True, or 1, for the examples that count; zero for the others.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The mean; zero if the mask keeps nothing.

    Example:
        >>> float(masked_mean(jnp.array([1.0, 3.0, jnp.nan]), jnp.array([True, True, False])))
        2.0
    """
    wide = at_least_float32(x)
    weight = mask.astype(wide.dtype)
    total = jnp.sum(weight * jnp.where(weight == 0, 0, wide))
    count = pmean(jnp.sum(weight), axis_name)
    return (total / jnp.where(count > 0, count, 1)).astype(x.dtype)


class Mean(eqx.Module):
    """A mean that can be added to another: a total and the weight behind it.

    Metrics are kept so, since the mean of means is wrong where their weights differ (episodes a chunk, say).

    Example:
        >>> both = Mean.of(jnp.array(1.0), 1.0) + Mean.of(jnp.array(4.0), 2.0)
        >>> float(both.value)
        3.0
    """

    total: Float[Array, "*batch"]
    weight: Float[Array, "*batch"]

    @staticmethod
    def of(value: Float[Array, "*batch"], weight: float | Float[Array, "*batch"] = 1.0) -> "Mean":
        """Makes a mean out of a value and its weight; a value without weight may be NaN."""
        weight = jnp.broadcast_to(jnp.asarray(weight, value.dtype), value.shape)
        return Mean(jnp.where(weight == 0, 0, value * weight), weight)

    def __add__(self, other: "Mean") -> "Mean":
        return Mean(self.total + other.total, self.weight + other.weight)

    @property
    def value(self) -> Float[Array, "*batch"]:
        """The mean so far; NaN where nothing was added."""
        return self.total / jnp.where(self.weight == 0, jnp.nan, self.weight)


def mean_and_variance(
    x: Float[Array, "*batch"], axis_name: str | None = None, mask: Bool[Array, "*batch"] | None = None
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Returns the mean and the variance over all axes and all devices; of equal numbers exactly zero.

    Args:
        x: The numbers.
        axis_name: Name of the mapped device axis, or None.
        mask: Which of them count; None for all. With none at all the two are zero.
    """
    largest = jnp.max(x) if mask is None else jnp.max(x, where=mask, initial=-jnp.inf)
    largest = largest if axis_name is None else jax.lax.pmax(largest, axis_name)
    point = jax.lax.stop_gradient(largest if mask is None else jnp.where(jnp.isneginf(largest), 0, largest))
    distance = x - point  # zero if all are equal, where a mean would round

    def mean(values):
        return pmean(jnp.mean(values) if mask is None else masked_mean(values, mask, axis_name), axis_name)

    shift = mean(distance)
    return point + shift, mean(jnp.square(distance - shift))


def standardise(
    x: Float[Array, "*batch"], axis_name: str | None = None, mask: Bool[Array, "*batch"] | None = None
) -> Float[Array, "*batch"]:
    """Shifts and scales numbers to mean 0 and variance 1, over all axes and all devices, or over those of a mask."""
    mean, variance = mean_and_variance(x, axis_name, mask)
    return (x - mean) / (jnp.sqrt(variance) + 1e-8)
