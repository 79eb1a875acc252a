"""All probability on one action."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import at_least_float32, checked
from ._continuous import Continuous


class DeterministicDistribution(Continuous):
    """The distribution that `deterministic` returns."""

    leaves = ("action",)
    action: Array

    def _sample_n(self, key, n):
        del key
        return jnp.broadcast_to(self.action[None], (n, *self.action.shape))

    def log_prob(self, value):
        """Returns the logarithm of a probability, not of a density: 0 at the action, −∞ elsewhere, NaN for NaN."""
        value = self._checked_actions(value)
        action = jnp.broadcast_to(self.action, value.shape)
        value = value.astype(action.dtype)
        log_prob = jnp.where(jnp.all(value == action, axis=-1), 0.0, -jnp.inf)
        unknown = jnp.any(jnp.isnan(value) | jnp.isnan(action), axis=-1)
        return jnp.where(unknown, jnp.nan, log_prob).astype(at_least_float32(action).dtype)

    def entropy(self):
        """Returns zero: that of a sure outcome, not the −∞ of a density without width."""
        return jnp.zeros(self.batch_shape, at_least_float32(self.action).dtype)

    def mean(self):
        """Returns the action, in float32 or wider."""
        return at_least_float32(self.action)

    def median(self):
        """Returns the action, in float32 or wider."""
        return at_least_float32(self.action)

    def mode(self):
        """Returns the action."""
        return self.action

    def variance(self):
        """Returns zero."""
        return jnp.zeros_like(at_least_float32(self.action))

    def stddev(self):
        """Returns zero."""
        return jnp.zeros_like(at_least_float32(self.action))

    def kl_divergence(self, other_dist, **kwargs):
        """Returns KL(self ‖ other) between two of this kind: 0 where the actions are the same, +∞ elsewhere."""
        if not isinstance(other_dist, DeterministicDistribution):
            return super().kl_divergence(other_dist, **kwargs)
        return -other_dist.log_prob(self.action)


@checked
def deterministic(action: Float[Array, "*batch action_dim"]) -> DeterministicDistribution:
    r"""Always takes one action.

    $$P(a = \mu) = 1$$

    It lets a deterministic policy stand where a distribution is asked for: samples are the action, through which the
    gradient flows. Log-probabilities are those of an atom, with gradient zero, and not comparable with densities.

    Args:
        action: $\mu$, in its own units. NaN gives log-probabilities that are NaN.

    Returns:
        A `distrax.Independent` with entropy 0, whose log-probability is 0 at the action and −∞ elsewhere.

    Raises:
        jaxtyping.TypeCheckError: If the action has no axis, or is not made of numbers.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> deterministic(jnp.array([0.5, 2.0])).sample(seed=jax.random.key(0)).tolist()
        [0.5, 2.0]

    References:
        Silver et al., *Deterministic Policy Gradient Algorithms*, 2014, ICML, section 3.
    """
    return DeterministicDistribution.tree_unflatten(None, (action,))
