"""Exponential weights, over samples or over the examples of all devices, and what depends on their temperature."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import psum
from ._knobs import floored


class ExponentialWeights(NamedTuple):
    r"""Weights and their moments; data, through which no gradient flows.

    Attributes:
        weights: $w = m e^z$, not normalised.
        exponents: $z = (x - x_{max}) / \eta$; zero where there is no weight.
        largest: $x_{max}$ among what the mask keeps; zero if it keeps nothing.
        log_mean: $\log (\sum w / \sum m)$.
        mean_exponent: $\sum w z / \sum w$.
    """

    weights: Float[Array, "..."]
    exponents: Float[Array, "..."]
    largest: Float[Array, "..."]
    log_mean: Float[Array, "..."]
    mean_exponent: Float[Array, "..."]


def exponential_weights(
    x: Array, temperature: Array, *, mask: Array | None = None, axis: int | None = None, axis_name: str | None = None
) -> ExponentialWeights:
    """Weighs numbers by `mask · exp(x / temperature)`, shifted by the largest so that nothing overflows or cancels.

    Over all axes, unless one is named, and over all devices. Infinities and NaN without a mask vanish.
    """
    x, temperature = jax.lax.stop_gradient((x, floored(temperature)))
    mask = jnp.ones_like(x) if mask is None else jax.lax.stop_gradient(mask).astype(x.dtype)
    counted = jnp.where(mask == 0, -jnp.inf, x)
    largest = jnp.max(counted, axis, keepdims=True, initial=-jnp.inf)
    largest = largest if axis_name is None else jax.lax.pmax(largest, axis_name)
    largest = jnp.where(jnp.isneginf(largest), 0, largest)
    exponents = (counted - largest) / temperature
    weights = mask * jnp.exp(exponents)
    exponents = jnp.where(weights == 0, 0, exponents)
    count, total, moment = psum([jnp.sum(each, axis) for each in (mask, weights, weights * exponents)], axis_name)
    empty = count == 0
    count, total = jnp.where(empty, 1, count), jnp.where(empty, 1, total)
    return ExponentialWeights(weights, exponents, jnp.squeeze(largest, axis), jnp.log(total / count), moment / total)


def temperature_dual(found: ExponentialWeights, temperature: Array, epsilon: Array) -> Array:
    """Returns η (ε + log mean exp(x / η)), whose slope in η is written out: no difference of large numbers is taken."""
    log_mean = epsilon + found.log_mean
    value = floored(jax.lax.stop_gradient(temperature)) * log_mean + found.largest
    return with_slope(value, temperature, log_mean - found.mean_exponent)


def with_slope(value: Array, knob: Array, slope: Array) -> Array:
    """Returns the value, with a slope that was worked out by hand; an infinite value has none."""
    slope = jax.lax.stop_gradient(jnp.where(jnp.isinf(value), 0, slope))
    return value + slope * (knob - jax.lax.stop_gradient(knob))
