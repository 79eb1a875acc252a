"""ε-greedy, and greedy."""

import distrax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._discrete import Discrete, proportion
from ._masks import Mask, forbid, shared_alike

_SMALLEST_PROBABILITY = 1e-15


class EpsilonGreedyDistribution(Discrete, distrax.EpsilonGreedy):
    """The distribution that `epsilon_greedy` and `greedy` return."""

    leaves = ("_preferences", "_epsilon", "_share")  # the first two as distrax calls them; its properties read them
    _preferences: Array
    _epsilon: Array
    _share: Array

    @property
    def probs(self) -> Array:
        """Probabilities, `*batch actions`."""
        q = at_least_float32(self._preferences)
        best = jnp.max(q, axis=-1, keepdims=True)
        greedy = (q == best).astype(q.dtype)
        greedy = greedy / jnp.sum(greedy, axis=-1, keepdims=True)
        epsilon = proportion(self._epsilon)[..., None].astype(q.dtype)
        probs = (1 - epsilon) * greedy + epsilon * self._share
        return jnp.where(jnp.isnan(best) | jnp.isneginf(best), jnp.nan, probs)

    @property
    def logits(self) -> Array:
        """Log-probabilities, `*batch actions`: −∞ for an illegal action, at least log 1e-15 for a legal one.

        So they and their gradients are finite at ε = 0.
        """
        return _log(self._bounded_probs)

    def log_prob(self, value):
        """Returns the log-probability of actions of shape `*sample *batch`; −∞ for an index outside."""
        return _log(self._of_action(self._bounded_probs, value, 0))

    @property
    def _bounded_probs(self) -> Array:
        return jnp.where(self._share == 0, 0, jnp.maximum(self.probs, _SMALLEST_PROBABILITY))


def _log(probs: Array) -> Array:
    return jnp.where(probs == 0, -jnp.inf, jnp.log(jnp.where(probs == 0, 1, probs)))


@checked
def epsilon_greedy(
    q: Float[Array, "*batch actions"],
    eps: RealScalarLike | Float[Array, "*batch"],
    *,
    mask: Mask | None = None,
) -> EpsilonGreedyDistribution:
    r"""Takes the best action, but with probability ε any action, each as likely.

    $$\pi(a) = \frac{1-\epsilon}{k}\,[Q(a) = \max_b Q(b)] + \frac{\epsilon}{n}$$

    with $n$ legal actions, of which $k$ share the maximum.

    Args:
        q: $Q(s, \cdot)$, in any unit. An action with −∞ is never greedy, but is still drawn with probability ε/n; those
            with +∞ share the maximum. NaN, or −∞ for every action, gives probabilities that are NaN.
        eps: $\epsilon \in [0, 1]$, one for all or one an example; an array changes without recompiling. Under
            a transform an ε outside counts as the nearest bound.
        mask: True, or 1, where an action is legal, of the shape of q or one for all. An illegal action has probability
            zero, whatever its value, and ε is spread over the others. Where nothing is legal, probabilities are NaN.

    Returns:
        A `distrax.EpsilonGreedy` over actions 0 to actions − 1. The log-probabilities of legal actions are at least
        log 1e-15 ≈ −34.5, so that ε = 0 stays finite; those of illegal ones are −∞.

    Raises:
        ValueError: If ε is known and outside [0, 1], or the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> epsilon_greedy(jnp.array([1.0, 3.0]), 0.5).probs.tolist()
        [0.25, 0.75]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 2.2.
    """
    eps = guard(eps, lambda eps: (eps >= 0) & (eps <= 1), "epsilon_greedy: eps must be in [0, 1]")
    return _among_legal(q, eps, mask, "epsilon_greedy")


@checked
def greedy(q: Float[Array, "*batch actions"], *, mask: Mask | None = None) -> EpsilonGreedyDistribution:
    r"""Takes the best action, one of equals at random.

    $$\pi(a) = \frac{1}{k}\,[Q(a) = \max_b Q(b)]$$

    with $k$ actions that share the maximum: `epsilon_greedy` with ε = 0.

    Args:
        q: $Q(s, \cdot)$, in any unit. Actions with +∞ share the maximum. NaN, or −∞ for every legal action, gives
            probabilities that are NaN.
        mask: True, or 1, where an action is legal, of the shape of q or one for all.

    Returns:
        The distribution that `epsilon_greedy` returns. An action that is not the best has probability zero, and, if
        it is legal, the log-probability log 1e-15 ≈ −34.5.

    Raises:
        ValueError: If the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> greedy(jnp.array([3.0, 1.0, 3.0, 9.0]), mask=jnp.array([True, True, True, False])).probs.tolist()
        [0.5, 0.0, 0.5, 0.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 2.2.
    """
    return _among_legal(q, 0.0, mask, "greedy")


def _among_legal(q, eps, mask, function: str) -> EpsilonGreedyDistribution:
    dtype = at_least_float32(q).dtype
    epsilon = jnp.broadcast_to(jnp.asarray(eps, dtype), q.shape[:-1])
    share = shared_alike(mask, q.shape, dtype)
    return EpsilonGreedyDistribution.tree_unflatten(None, (forbid(q, mask, function), epsilon, share))
