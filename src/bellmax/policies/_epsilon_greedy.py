"""ε-greedy."""

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._discrete import Discrete

_SMALLEST_PROBABILITY = 1e-15


class EpsilonGreedyDistribution(Discrete, distrax.EpsilonGreedy):
    """The distribution that `epsilon_greedy` returns."""

    leaves = ("_preferences", "_epsilon")  # what distrax calls them; its properties read them
    _preferences: Array
    _epsilon: Array

    @property
    def probs(self) -> Array:
        """Probabilities, `*batch actions`."""
        q = at_least_float32(self._preferences)
        best = jnp.max(q, axis=-1, keepdims=True)
        greedy = (q == best).astype(q.dtype)
        greedy = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
        epsilon = jnp.clip(self._epsilon, 0, 1)[..., None].astype(q.dtype)
        probs = (1 - epsilon) * greedy + epsilon / q.shape[-1]
        return jnp.where(jnp.isnan(best) | jnp.isneginf(best), jnp.nan, probs)

    @property
    def logits(self) -> Array:
        """Log-probabilities, `*batch actions`, at least log 1e-15: they and their gradients are finite at ε = 0."""
        return jnp.log(jnp.maximum(self.probs, _SMALLEST_PROBABILITY))

    def _sample_n(self, key, n):
        # One uniform number a sample through the cumulative probabilities. An action of probability zero is never
        # drawn: the number is at most (1 - 2^-23) of the total, and a zero step of the sum is never the first above it.
        cumulative = jnp.cumsum(self.probs, axis=-1)
        uniform = jax.random.uniform(key, (n, *self.batch_shape), cumulative.dtype) * cumulative[None, ..., -1]
        below = jnp.broadcast_to(cumulative, (*uniform.shape, self.num_categories)) <= uniform[..., None]
        return jnp.sum(below, axis=-1).astype(jnp.int32)


@checked
def epsilon_greedy(
    q: Float[Array, "*batch actions"], eps: RealScalarLike | Float[Array, "*batch"]
) -> EpsilonGreedyDistribution:
    r"""Takes the best action, but with probability ε any action, each as likely.

    $$\pi(a) = \frac{1-\epsilon}{k}\,[Q(a) = \max_b Q(b)] + \frac{\epsilon}{n}$$

    with $n$ actions, of which $k$ share the maximum.

    Args:
        q: $Q(s, \cdot)$, in any unit. An action with −∞ is never greedy, but is still drawn with probability ε/n. NaN,
            or −∞ for every action, gives probabilities that are NaN.
        eps: $\epsilon \in [0, 1]$, one for all or one an example; an array changes without recompiling. Under
            a transform an ε outside counts as the nearest bound.

    Returns:
        A `distrax.EpsilonGreedy` over actions 0 to actions − 1. Its log-probabilities are at least log 1e-15 ≈ −34.5,
        so that ε = 0 stays finite.

    Raises:
        ValueError: If ε is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> epsilon_greedy(jnp.array([1.0, 3.0]), 0.5).probs.tolist()
        [0.25, 0.75]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 2.2.
    """
    eps = guard(eps, lambda eps: (eps >= 0) & (eps <= 1), "epsilon_greedy: eps must be in [0, 1]")
    epsilon = jnp.broadcast_to(jnp.asarray(eps, at_least_float32(q).dtype), q.shape[:-1])
    return EpsilonGreedyDistribution.tree_unflatten(None, (q, epsilon))
