"""Independent switches."""

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import at_least_float32, checked, multiply_no_nan
from ._independent import Independent
from ._joint import add_up


class BernoulliDistribution(Independent):
    """The distribution that `bernoulli` returns."""

    leaves = ("logits",)
    logits: Array

    @property
    def distribution(self) -> distrax.Bernoulli:
        """One `distrax.Bernoulli` a switch, for distrax's own functions."""
        return distrax.Bernoulli(at_least_float32(self.logits))

    @property
    def dtype(self):
        """Type of a sampled action."""
        return jnp.int8

    def _sample_n(self, key, n):
        probs = self.mean()
        least = jnp.finfo(probs.dtype).eps / 2  # zero would be below any probability
        return (jax.random.uniform(key, (n, *probs.shape), probs.dtype, minval=least) < probs[None]).astype(jnp.int8)

    def log_prob(self, value):
        """Returns the log-probability of actions of shape `*sample *batch n`, summed; −∞ for what is not 0 or 1."""
        value = self._checked_actions(value)
        if jnp.issubdtype(value.dtype, jnp.inexact):
            raise TypeError(f"{self.name}: an action must be integer or boolean; got {value.dtype}")
        value = value.astype(jnp.int8) if value.dtype == bool else value
        on, off = (jnp.broadcast_to(log_prob, value.shape) for log_prob in self._log_probs)
        return jnp.sum(jnp.where(value == 1, on, jnp.where(value == 0, off, -jnp.inf)), axis=-1)

    def entropy(self):
        """Returns the entropy in nats, summed; a sure switch adds nothing."""
        return -jnp.sum(add_up(multiply_no_nan(x, jnp.exp(x)) for x in self._log_probs), axis=-1)

    def mean(self):
        """Returns the probability that a switch is on, in float32 or wider."""
        return jax.nn.sigmoid(at_least_float32(self.logits))

    def mode(self):
        """Returns the likeliest action, off where both are as likely."""
        return (self.logits > 0).astype(jnp.int8)

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) in nats, summed."""
        if not isinstance(other_dist, BernoulliDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        pairs = zip(self._log_probs, other_dist._log_probs, strict=True)
        return jnp.sum(add_up(multiply_no_nan(x - y, jnp.exp(x)) for x, y in pairs), axis=-1)

    @property
    def _log_probs(self) -> tuple[Array, Array]:
        logits = at_least_float32(self.logits)
        return jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits)


@checked
def bernoulli(logits: Float[Array, "*batch n"]) -> BernoulliDistribution:
    r"""Sets each of n switches on or off, independently.

    $$\pi(a) = \prod_i \sigma(z_i)^{a_i}\,\sigma(-z_i)^{1-a_i}, \qquad \sigma(z) = \frac{1}{1+e^{-z}}$$

    Args:
        logits: $z$, the log-odds that a switch is on, in nats. ±∞ makes it sure.

    Returns:
        A `distrax.Independent` over int8 actions of zeros and ones, as `gymnasium.spaces.MultiBinary` has them.
        Log-probabilities, entropies and divergences are sums over switches.

    Raises:
        jaxtyping.TypeCheckError: If the logits have no axis, or are not numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = bernoulli(jnp.array([0.0, 200.0]))
        >>> round(float(pi.log_prob(jnp.array([1, 1]))), 4)
        -0.6931

    References:
        Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, 1992,
        on Bernoulli units.
    """
    return BernoulliDistribution.tree_unflatten(None, (logits,))
