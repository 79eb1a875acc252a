"""The Gaussian squashed into a box by the hyperbolic tangent."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked
from ._continuous import Continuous, bounds_like, inside, is_outside, where_same_box, wider_type
from ._gaussian import GaussianDistribution
from ._quadrature import quadrature

_REACH = 8.0
"""Standard deviations beyond which a normal distribution has nothing left."""


class SquashedGaussianDistribution(Continuous):
    """The distribution that `squashed_gaussian` returns."""

    leaves = ("mu", "logvar", "low", "high")
    mu: Array
    logvar: Array
    low: Array
    high: Array

    @property
    def base(self) -> GaussianDistribution:
        """The Gaussian before it is squashed."""
        return GaussianDistribution.tree_unflatten(None, (self.mu, self.logvar))

    def _sample_n(self, key, n):
        return squash(self.base._sample_n(key, n), self.low[None], self.high[None])

    def _sample_n_and_log_prob(self, key, n):
        # The pre-image is at hand here, also where the type cannot tell an action from a bound.
        x = self.base._sample_n(key, n)
        stretch = _log_det(at_least_float32(x), at_least_float32(self.low)[None], at_least_float32(self.high)[None])
        return squash(x, self.low[None], self.high[None]), self.base.log_prob(x) - jnp.sum(stretch, axis=-1)

    def log_prob(self, value):
        """Returns the log-density of actions of shape `*sample *batch action_dim`, summed over their dimensions.

        It is −∞ outside the box. An action at a bound counts as the nearest one inside that its type can tell from it.
        """
        value = self._checked_actions(value)
        outside = is_outside(value, self.low, self.high)
        pi = self._in_type(wider_type(value, self.dtype))
        value = value.astype(pi.dtype)
        low, high = (jnp.broadcast_to(bound, value.shape) for bound in (pi.low, pi.high))
        kept = jnp.clip(value, *inside(low, high))
        low, high, kept = (at_least_float32(each) for each in (low, high, kept))
        x = _unsquash(kept, low, high)
        log_prob = pi.base.log_prob(x) - jnp.sum(_log_det(x, low, high), axis=-1)
        return jnp.where(outside, -jnp.inf, log_prob)

    def entropy(self):
        """Returns the differential entropy in nats, to rounding: a quadrature, for it has no closed form.

        It costs some ten times what a sample does; minus the log-probability of a sample estimates it.
        """
        wide = at_least_float32(self.mu)
        width = at_least_float32(self.high) - at_least_float32(self.low)
        log_det = math.log(2) + jnp.log(width) - 2 * _expected_softabs(wide, self.base.stddev())
        return self.base.entropy() + jnp.sum(log_det, axis=-1)

    def mode(self):
        """Returns the squashed mean of the Gaussian, the greedy action; the density may be higher elsewhere."""
        return squash(self.mu, self.low, self.high)

    def median(self):
        """Returns the squashed mean of the Gaussian, in float32 or wider."""
        return squash(*(at_least_float32(each) for each in (self.mu, self.low, self.high)))

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, between equal bounds: that of the Gaussians, as squashing loses nothing.

        Bounds known to differ raise ValueError; bounds that differ under a transform give NaN.
        """
        if not isinstance(other_dist, SquashedGaussianDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        return where_same_box(self.base.kl_divergence(other_dist.base), self, other_dist)


def squash(x: Array, low: Array, high: Array) -> Array:
    """Returns low + (high − low)(tanh(x) + 1)/2, measured from whichever of the bounds and the centre is near."""
    half = (high - low) / 2
    middle = low + half + half * jnp.tanh(jnp.clip(x, -1, 1))
    below = low + 2 * half * jax.nn.sigmoid(2 * x)
    above = high - 2 * half * jax.nn.sigmoid(-2 * x)
    return jnp.clip(jnp.where(x < -0.5, below, jnp.where(x > 0.5, above, middle)), low, high)


def _unsquash(value: Array, low: Array, high: Array) -> Array:
    half = (high - low) / 2
    centred = (value - low - half) / half
    near_a_bound = 0.5 * (jnp.log(value - low) - jnp.log(high - value))
    return jnp.where(jnp.abs(centred) < 0.5, jnp.arctanh(jnp.clip(centred, -0.75, 0.75)), near_a_bound)


def _log_det(x: Array, low: Array, high: Array) -> Array:
    return 2 * (math.log(2) - x - jax.nn.softplus(-2 * x)) + jnp.log((high - low) / 2)


def _expected_softabs(mu: Array, stddev: Array) -> Array:
    """Returns E[|x| + log(1 + exp(−2|x|))] = E[log 2cosh x] of a normal x.

    The first part is in closed form. The second lives within 20 of zero and the normal density within 8 deviations of
    its mean: the quadrature runs where both do, in deviations from the mean, over |x| with both signs together.
    """
    far = 5 * _REACH
    ratio = jnp.clip(mu / stddev, -far, far)
    first = stddev * math.sqrt(2 / math.pi) * jnp.exp(-0.5 * jnp.square(ratio))
    first = first + mu * jax.lax.erf(ratio / math.sqrt(2))
    centre = jnp.abs(mu)
    start = jnp.maximum(-_REACH, -centre / stddev)
    z, weights = quadrature(start, jnp.maximum(start, jnp.minimum(_REACH, (20 - centre) / stddev)))
    mirrored = jnp.clip(z + 2 * (centre / stddev)[None], -far, far)
    density = (jnp.exp(-0.5 * jnp.square(z)) + jnp.exp(-0.5 * jnp.square(mirrored))) / math.sqrt(2 * math.pi)
    distance = centre[None] + stddev[None] * z
    return first + jnp.sum(weights * density * jnp.log1p(jnp.exp(-2 * distance)), axis=0)


@checked
def squashed_gaussian(
    mu: Float[Array, "*batch action_dim"],
    logvar: Float[Array, "*batch action_dim"],
    low: RealScalarLike | Float[Array, "*#batch action_dim"] = -1.0,
    high: RealScalarLike | Float[Array, "*#batch action_dim"] = 1.0,
) -> SquashedGaussianDistribution:
    r"""Draws from a Gaussian and squashes the draw into a box.

    $$a = l + (h - l)\,\frac{\tanh x + 1}{2},\quad x \sim \mathcal{N}(\mu, e^\nu), \qquad
      \log\pi(a) = \sum_i \log\mathcal{N}(x_i;\ \mu_i, e^{\nu_i})
      - 2(\log 2 - x_i - \text{softplus}(-2x_i)) - \log\frac{h_i - l_i}{2}$$

    A sample is differentiable in every parameter. There are two log-probabilities, which differ, without limit, where
    an action is so near a bound that its type has lost $x$. An actor that learns from fresh samples, as SAC's, takes
    `sample_and_log_prob`, which knows $x$: it is finite for |x| up to 1e37, where the action itself is a bound. An
    actor that compares policies on stored actions, as PPO's, takes `log_prob` of the stored action both when it acts
    and when it learns, so that their ratio is 1 where nothing has changed; or it stores $x$, with `gaussian`, and
    squashes only at the border of the environment. `log_prob` takes an action at a bound for the nearest one inside
    that its type can tell from the bound, so that it and its gradient are finite there too; outside it is −∞.

    Squashing by the logistic function, $a = l + (h - l)\,\sigma(y)$ with $y \sim \mathcal{N}(m, e^s)$, is the same
    family: `squashed_gaussian(m / 2, s - log(4), low, high)`.

    Args:
        mu: $\mu$, the mean before squashing, without unit.
        logvar: $\nu$, the logarithm of the variance before squashing, bounded to ±80 where it is used.
        low: $l$, the lower bounds of the actions, in their units; a number, or an array that broadcasts to mu.
        high: $h > l$, the upper bounds, likewise.

    Returns:
        A `distrax.Independent`; log-probabilities, entropies and divergences are summed over dimensions. The entropy
        is a quadrature exact to rounding; `mode()` and `median()` are the squashed μ.

    Raises:
        ValueError: If bounds are known and not finite, or low is not below high.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = squashed_gaussian(jnp.zeros(1), jnp.zeros(1), low=0.0, high=4.0)
        >>> pi.mode().tolist(), round(float(pi.log_prob(jnp.array([2.0]))), 4)
        ([2.0], -1.6121)

    References:
        Haarnoja et al., *Soft Actor-Critic*, 2018, arXiv:1801.01290, appendix C.
    """
    low, high = bounds_like(mu, low, high, "squashed_gaussian")
    return SquashedGaussianDistribution.tree_unflatten(None, (mu, logvar, low, high))
