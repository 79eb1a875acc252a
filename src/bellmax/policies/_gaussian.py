"""The Gaussian with a diagonal covariance."""

import math

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import at_least_float32, checked
from ._continuous import Continuous

_LOG_2_PI = math.log(2 * math.pi)
_LARGEST_LOGVAR = 80.0
"""exp(±80) is finite in float32."""


class GaussianDistribution(Continuous):
    """The distribution that `gaussian` returns."""

    leaves = ("mu", "logvar")
    mu: Array
    logvar: Array

    @property
    def distribution(self) -> distrax.Normal:
        """One `distrax.Normal` a dimension, for distrax's own functions."""
        return distrax.Normal(at_least_float32(self.mu), self.stddev())

    def _sample_n(self, key, n):
        noise = jax.random.normal(key, (n, *self.mu.shape), self.mu.dtype)
        return self.mu[None] + self.stddev().astype(self.mu.dtype)[None] * noise

    def log_prob(self, value):
        """Returns the log-density of actions of shape `*sample *batch action_dim`, summed over their dimensions."""
        value = self._checked_actions(value)
        mu = jnp.broadcast_to(at_least_float32(self.mu), value.shape)
        logvar = jnp.broadcast_to(self._bounded_logvar, value.shape)
        scaled = (value.astype(mu.dtype) - mu) * jnp.exp(-0.5 * logvar)
        return -0.5 * jnp.sum(jnp.square(scaled) + logvar + _LOG_2_PI, axis=-1)

    def entropy(self):
        """Returns the differential entropy in nats, summed over dimensions."""
        return 0.5 * jnp.sum(self._bounded_logvar + 1 + _LOG_2_PI, axis=-1)

    def mean(self):
        """Returns mu, in float32 or wider."""
        return at_least_float32(self.mu)

    def median(self):
        """Returns mu, in float32 or wider."""
        return at_least_float32(self.mu)

    def mode(self):
        """Returns mu, an action."""
        return self.mu

    def variance(self):
        """Returns exp(logvar)."""
        return jnp.exp(self._bounded_logvar)

    def stddev(self):
        """Returns exp(logvar / 2)."""
        return jnp.exp(0.5 * self._bounded_logvar)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats: in closed form from the parameters, or as distrax computes it."""
        if not isinstance(other_dist, GaussianDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        mu, other_mu = at_least_float32(self.mu), at_least_float32(other_dist.mu)
        gap = self._bounded_logvar - other_dist._bounded_logvar
        distance = jnp.square((mu - other_mu) * jnp.exp(-0.5 * other_dist._bounded_logvar))
        return 0.5 * jnp.sum(jnp.expm1(gap) - gap + distance, axis=-1)

    @property
    def _bounded_logvar(self) -> Array:
        return bounded_logvar(self.logvar)


def bounded_logvar(logvar: Array) -> Array:
    """Returns the logarithm of a variance, in float32 or wider, kept where deviations and precisions are finite."""
    return jnp.clip(at_least_float32(logvar), -_LARGEST_LOGVAR, _LARGEST_LOGVAR)


@checked
def gaussian(mu: Float[Array, "*batch action_dim"], logvar: Float[Array, "*batch action_dim"]) -> GaussianDistribution:
    r"""Draws each dimension of an action from its own normal distribution.

    $$\pi(a) = \prod_i \mathcal{N}(a_i;\ \mu_i,\ e^{\nu_i})$$

    A sample is $\mu + e^{\nu/2}\varepsilon$ with standard normal ε, differentiable in both parameters. For a box with
    several axes, flatten the action: `action.reshape(*batch, -1)`.

    Args:
        mu: $\mu$, the mean, in the units of the action.
        logvar: $\nu$, the logarithm of the variance, bounded to ±80 where it is used, so that standard deviations and
            densities near the mean stay finite.

    Returns:
        A `distrax.Independent` of normals; log-probabilities, entropies and divergences are summed over dimensions.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or there is no axis of dimensions.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = gaussian(jnp.zeros(2), jnp.zeros(2))
        >>> round(float(pi.log_prob(jnp.zeros(2))), 4)
        -1.8379

    References:
        Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, 1992.
    """
    return GaussianDistribution.tree_unflatten(None, (mu, logvar))
