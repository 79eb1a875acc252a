"""The Gaussian conditioned on a box."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked
from ._continuous import Continuous, bounds_like, is_outside, wider_type
from ._gaussian import bounded_logvar
from ._quadrature import quadrature
from ._tails import mass, tail

_NEGLIGIBLE = 40.0
"""exp(−40) is nothing beside 1."""


class TruncatedGaussianDistribution(Continuous):
    """The distribution that `truncated_gaussian` returns.

    All is measured in deviations from the mode, the point of the box nearest to mu, relative to the density there:
    nothing overflows or cancels, however far the box is in a tail.
    """

    leaves = ("mu", "logvar", "low", "high")
    mu: Array
    logvar: Array
    low: Array
    high: Array

    def _sample_n(self, key, n):
        _, deviation, low, high = self._wide
        uniform = jax.random.uniform(key, (n, *low.shape), low.dtype, minval=jnp.finfo(low.dtype).eps / 2)
        offset = _quantile(uniform, *jax.lax.stop_gradient(self._in_deviations()))
        action = jnp.clip(self._mode[None] + offset * deviation[None], low[None], high[None])
        return jnp.clip(self._with_slopes(action, uniform).astype(self.dtype), self.low[None], self.high[None])

    def _with_slopes(self, action, uniform):
        """Gives samples the derivatives of the quantile function, by its own equation F(action) = uniform."""
        mu, deviation, low, high = self._wide
        stop = jax.lax.stop_gradient
        z, at_low, at_high = ((each - mu[None]) / deviation[None] for each in (action, low[None], high[None]))
        pull_low = jnp.clip((1 - uniform) * jnp.exp(0.5 * (z - at_low) * (z + at_low)), 0, 1)
        pull_high = jnp.clip(uniform * jnp.exp(-0.5 * (at_high - z) * (at_high + z)), 0, 1)
        pull_low, pull_high = stop(pull_low), stop(pull_high)
        stay = 1 - pull_low - pull_high
        spread = stop(action - mu[None] - pull_low * (low - mu)[None] - pull_high * (high - mu)[None])
        moved = stay * mu[None] + spread * 0.5 * bounded_logvar(self.logvar)[None]
        moved = moved + pull_low * low[None] + pull_high * high[None]
        return stop(action) + moved - stop(moved)

    def log_prob(self, value):
        """Returns the log-density of actions of shape `*sample *batch action_dim`, summed; −∞ outside the box."""
        value = self._checked_actions(value)
        outside = is_outside(value, self.low, self.high)
        pi = self._in_type(wider_type(value, self.dtype))
        value = at_least_float32(value.astype(pi.dtype))
        mode, deviation = (jnp.broadcast_to(each, value.shape) for each in (pi._mode, pi._wide[1]))
        log_prob = jnp.sum(pi._standard_log_density((value - mode) / deviation), axis=-1)
        return jnp.where(outside, -jnp.inf, log_prob)

    def entropy(self):
        """Returns the differential entropy in nats, summed over dimensions."""
        offset, probs = self._points()
        return -jnp.sum(probs * self._standard_log_density(offset), axis=(0, -1))

    def mean(self):
        """Returns the mean, in float32 or wider."""
        _, deviation, low, high = self._wide
        offset, probs = self._points()
        return jnp.clip(self._mode + deviation * jnp.sum(probs * offset, axis=0), low, high)

    def variance(self):
        """Returns the variance, in float32 or wider."""
        return jnp.square(self.stddev())

    def stddev(self):
        """Returns the standard deviation, in float32 or wider."""
        offset, probs = self._points()
        centred = offset - jnp.sum(probs * offset, axis=0, keepdims=True)
        return self._wide[1] * jnp.sqrt(jnp.sum(probs * jnp.square(centred), axis=0))

    def mode(self):
        """Returns the likeliest action: the point of the box nearest to mu."""
        return jnp.clip(self.mu, self.low, self.high)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats; +∞ if the box of the other does not contain this one's."""
        if not isinstance(other_dist, TruncatedGaussianDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        offset, probs = self._points()
        deviation, other_deviation = self._wide[1], other_dist._wide[1]
        shift = (self._mode - other_dist._mode) / other_deviation
        other_offset = shift[None] + offset * (deviation / other_deviation)[None]
        gap = self._standard_log_density(offset) - other_dist._standard_log_density(other_offset)
        contained = jnp.all((self.low >= other_dist.low) & (self.high <= other_dist.high), axis=-1)
        return jnp.where(contained, jnp.sum(probs * gap, axis=(0, -1)), jnp.inf)

    @property
    def _wide(self) -> tuple[Array, Array, Array, Array]:
        mu, low, high = (at_least_float32(each) for each in (self.mu, self.low, self.high))
        return mu, jnp.exp(0.5 * bounded_logvar(self.logvar)).astype(mu.dtype), low, high

    @property
    def _mode(self) -> Array:
        mu, _, low, high = self._wide
        return jax.lax.stop_gradient(jnp.clip(mu, low, high))  # any reference gives the same, so it needs no slope

    def _in_deviations(self) -> tuple[Array, Array, Array]:
        """How far the mode is above mu, and how far the box reaches below and above the mode."""
        mu, deviation, low, high = self._wide
        return (self._mode - mu) / deviation, (self._mode - low) / deviation, (high - self._mode) / deviation

    def _standard_log_density(self, offset):
        """Log-density of each dimension at a point so many deviations from the mode; leading sample axes."""
        slope, below, above = self._in_deviations()
        log_mass = jnp.log(mass(below, -slope) + mass(above, slope)) + jnp.log(self._wide[1])
        slope, log_mass = (jnp.broadcast_to(each, offset.shape) for each in (slope, log_mass))
        return -offset * (slope + offset / 2) - log_mass

    def _points(self):
        """Points in deviations from the mode and their probabilities: expectations are sums over them."""
        slope, below, above = self._in_deviations()
        down, weights_down = _weigh(below, -slope)
        up, weights_up = _weigh(above, slope)
        weights = jnp.concatenate([weights_down, weights_up])
        return jnp.concatenate([-down, up]), weights / jnp.sum(weights, axis=0, keepdims=True)


def _weigh(length: Array, slope: Array) -> tuple[Array, Array]:
    """Returns quadrature points s from 0 to a length, and their weights times exp(−slope s − s²/2)."""
    steep = jax.lax.stop_gradient(jnp.abs(slope))
    enough = 2 * _NEGLIGIBLE / (steep + jnp.hypot(steep, jnp.full_like(steep, math.sqrt(2 * _NEGLIGIBLE))))
    s, weights = quadrature(jnp.zeros_like(length), jnp.minimum(length, enough))
    return s, weights * jnp.exp(-s * (slope[None] + s / 2))


def _quantile(uniform: Array, slope: Array, below: Array, above: Array) -> Array:
    """Returns the signed distance from the mode below which a share `uniform` of the mass lies."""
    mass_below, mass_above = mass(below, -slope), mass(above, slope)
    target = uniform * (mass_below + mass_above)[None] - mass_below[None]
    side, goal, steep = jnp.sign(target), jnp.abs(target), jnp.broadcast_to(jnp.abs(slope), target.shape)
    whole = tail(steep)
    depth = -jnp.log1p(-jnp.minimum(goal / whole, 1 - jnp.finfo(goal.dtype).eps))
    near = goal * (1 + steep * goal / 2 + (2 * jnp.square(steep * goal) + jnp.square(goal)) / 6)
    far = 2 * depth / (steep + jnp.hypot(steep, jnp.sqrt(2 * depth)) + jnp.finfo(goal.dtype).tiny)

    def step(_, far):  # Newton's method on the logarithm of what lies beyond, which is nearly straight
        beyond = tail(steep + far)
        return jnp.maximum(far + beyond * (depth + jnp.log(beyond / whole) - far * (steep + far / 2)), 0)

    far = jax.lax.fori_loop(0, 5, step, far)
    distance = side * jnp.where(depth < 0.01, near, far)
    return jnp.clip(distance, -below[None], above[None])


@checked
def truncated_gaussian(
    mu: Float[Array, "*batch action_dim"],
    logvar: Float[Array, "*batch action_dim"],
    low: RealScalarLike | Float[Array, "*#batch action_dim"],
    high: RealScalarLike | Float[Array, "*#batch action_dim"],
) -> TruncatedGaussianDistribution:
    r"""Draws from a Gaussian until the draw is inside a box.

    $$\pi(a) = \prod_i \frac{\mathcal{N}(a_i;\ \mu_i, e^{\nu_i})}
      {\Phi\left(\frac{h_i - \mu_i}{e^{\nu_i/2}}\right) - \Phi\left(\frac{l_i - \mu_i}{e^{\nu_i/2}}\right)},
      \qquad l_i \leq a_i \leq h_i$$

    The box may lie in a tail of the Gaussian, however far, or be narrow beside its deviation. A sample is a quantile
    of a uniform number: always inside, and differentiable in every parameter. Divergences between two such
    distributions are exact for different boxes too.

    Args:
        mu: $\mu$, the mean before truncation, in the units of the action; inside the box or not.
        logvar: $\nu$, the logarithm of the variance before truncation, bounded to ±80 where it is used.
        low: $l$, the lower bounds of the actions, in their units; a number, or an array that broadcasts to mu.
        high: $h > l$, the upper bounds, likewise.

    Returns:
        A `distrax.Independent`; log-probabilities, entropies and divergences are summed over dimensions.

    Raises:
        ValueError: If bounds are known and not finite, or low is not below high.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = truncated_gaussian(jnp.array([3.0]), jnp.array([80.0]), low=0.0, high=2.0)
        >>> pi.mode().tolist(), round(float(pi.log_prob(jnp.array([0.5]))), 4)
        ([2.0], -0.6931)

    References:
        Robert, *Simulation of Truncated Normal Variables*, 1995, arXiv:0907.4010, section 1.
    """
    low, high = bounds_like(mu, low, high, "truncated_gaussian")
    return TruncatedGaussianDistribution.tree_unflatten(None, (mu, logvar, low, high))
