"""The beta distribution on a box."""

import jax
import jax.numpy as jnp
from jax.scipy.special import betaln, digamma, gammaln
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._continuous import Continuous, bounds_like, inside, is_outside, where_same_box


class BetaDistribution(Continuous):
    """The distribution that `beta` returns."""

    leaves = ("alpha", "beta", "low", "high")
    alpha: Array
    beta: Array
    low: Array
    high: Array

    def _sample_n(self, key, n):
        alpha, beta, low, high = self._wide
        share = jax.random.beta(key, alpha, beta, (n, *alpha.shape), alpha.dtype)
        action = (low[None] + share * (high - low)[None]).astype(self.dtype)
        return jnp.clip(action, *(bound[None] for bound in self._inside))

    def log_prob(self, value):
        """Returns the log-density of actions of shape `*sample *batch action_dim`, summed over their dimensions.

        It is −∞ outside the box. An action at a bound counts as the nearest one inside that its type can tell from it.
        """
        value = self._checked_actions(value).astype(self.dtype)
        kept = jnp.clip(value, *(jnp.broadcast_to(bound, value.shape) for bound in self._inside))
        value, kept = at_least_float32(value), at_least_float32(kept)
        alpha, beta, low, high = (jnp.broadcast_to(each, value.shape) for each in self._wide)
        log_width = jnp.log(high - low)
        log_prob = (alpha - 1) * (jnp.log(kept - low) - log_width) + (beta - 1) * (jnp.log(high - kept) - log_width)
        log_prob = jnp.sum(log_prob - _log_beta(alpha, beta) - log_width, axis=-1)
        return jnp.where(is_outside(value, low, high), -jnp.inf, log_prob)

    def entropy(self):
        """Returns the differential entropy in nats, summed over dimensions."""
        alpha, beta, low, high = self._wide
        both = digamma(alpha + beta)
        inner = (alpha - 1) * (both - digamma(alpha)) + (beta - 1) * (both - digamma(beta))
        return jnp.sum(_log_beta(alpha, beta) + inner + jnp.log(high - low), axis=-1)

    def mean(self):
        """Returns the mean, in float32 or wider."""
        alpha, beta, low, high = self._wide
        return low + (high - low) * (alpha / (alpha + beta))

    def variance(self):
        """Returns the variance, in float32 or wider."""
        alpha, beta, low, high = self._wide
        share = alpha / (alpha + beta)
        return jnp.square(high - low) * share * (beta / (alpha + beta)) / (alpha + beta + 1)

    def stddev(self):
        """Returns the standard deviation, in float32 or wider."""
        return jnp.sqrt(self.variance())

    def mode(self):
        """Returns the likeliest action; the mean where neither α nor β is above 1 and the density has no peak."""
        alpha, beta, low, high = self._wide
        up, down = jnp.maximum(alpha - 1, 0), jnp.maximum(beta - 1, 0)
        flat = ~(up + down > 0)
        share = jnp.where(flat, alpha, up) / jnp.where(flat, alpha + beta, up + down)
        return jnp.clip((low + (high - low) * share).astype(self.dtype), self.low, self.high)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, between equal bounds.

        Bounds known to differ raise ValueError; bounds that differ under a transform give NaN.
        """
        if not isinstance(other_dist, BetaDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        alpha, beta, _, _ = self._wide
        other_alpha, other_beta, _, _ = other_dist._wide
        both = digamma(alpha + beta)
        divergence = _log_beta(other_alpha, other_beta) - _log_beta(alpha, beta)
        divergence = divergence + (alpha - other_alpha) * (digamma(alpha) - both)
        divergence = divergence + (beta - other_beta) * (digamma(beta) - both)
        return where_same_box(jnp.sum(divergence, axis=-1), self, other_dist)

    @property
    def _wide(self) -> tuple[Array, Array, Array, Array]:
        alpha, beta, low, high = (at_least_float32(getattr(self, name)) for name in self.leaves)
        return alpha, beta, low, high

    @property
    def _inside(self) -> tuple[Array, Array]:
        return inside(self.low, self.high)


def _log_beta(alpha: Array, beta: Array) -> Array:
    """Returns log B(α, β); JAX's own is best in float32 but has seven digits in float64 too."""
    if alpha.dtype == jnp.float64:
        return gammaln(alpha) + gammaln(beta) - gammaln(alpha + beta)
    return betaln(alpha, beta)


@checked
def beta(
    alpha: Float[Array, "*batch action_dim"],
    beta: Float[Array, "*batch action_dim"],
    low: RealScalarLike | Float[Array, "*#batch action_dim"] = 0.0,
    high: RealScalarLike | Float[Array, "*#batch action_dim"] = 1.0,
) -> BetaDistribution:
    r"""Draws each dimension of an action from a beta distribution stretched over its bounds.

    $$\pi(a) = \prod_i \frac{v_i^{\alpha_i - 1} (1 - v_i)^{\beta_i - 1}}{(h_i - l_i)\,B(\alpha_i, \beta_i)}, \qquad
      v = \frac{a - l}{h - l}$$

    With α and β above 1 the density has one peak and vanishes at the bounds: a network's outputs x become such
    parameters by `1 + softplus(x)`, as in the paper. Samples are strictly inside the bounds, as far as their type can
    tell, and differentiable in every parameter, by implicit differentiation in α and β. In float32 the rounding of
    log-probabilities grows with α + β, to some 1e-3 at 1e4.

    Args:
        alpha: $\alpha > 0$, the pull towards the upper bound.
        beta: $\beta > 0$, the pull towards the lower bound.
        low: $l$, the lower bounds of the actions, in their units; a number, or an array that broadcasts to alpha.
        high: $h > l$, the upper bounds, likewise.

    Returns:
        A `distrax.Independent`; log-probabilities, entropies and divergences are summed over dimensions. The
        log-probability of an action at a bound is that of the nearest one inside, so it is finite.

    Raises:
        ValueError: If α or β is known and not positive, or bounds are known and not finite or low is not below high.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = beta(jnp.array([2.0]), jnp.array([2.0]))
        >>> pi.mode().tolist(), round(float(pi.log_prob(jnp.array([0.5]))), 4)
        ([0.5], 0.4055)

    References:
        Chou, Maturana and Scherer, *Improving Stochastic Policy Gradients in Continuous Control with Deep Reinforcement
        Learning using the Beta Distribution*, 2017, ICML, section 4.
    """
    alpha = guard(alpha, lambda alpha: alpha > 0, "beta: alpha must be positive")
    beta = guard(beta, lambda beta: beta > 0, "beta: beta must be positive")
    low, high = bounds_like(alpha, low, high, "beta")
    return BetaDistribution.tree_unflatten(None, (alpha, beta, low, high))
