"""The softmax of action values at a temperature."""

import distrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._discrete import Discrete
from ._masks import Mask, forbid

_COLDEST = 1e-15
"""Colder temperatures count as this: its square, which the gradient divides by, is a float32 still."""


class BoltzmannDistribution(Discrete, distrax.Softmax):
    """The distribution that `boltzmann` returns."""

    leaves = ("_unscaled_logits", "_temperature")  # what distrax calls them; its properties read them
    _unscaled_logits: Array
    _temperature: Array

    @property
    def logits(self) -> Array:
        """Normalised log-probabilities, `*batch actions`."""
        q = at_least_float32(self._unscaled_logits)
        temperature = jnp.maximum(self._temperature, _COLDEST)[..., None].astype(q.dtype)
        # Subtracting the maximum first keeps ties tied however small the temperature is; infinite ones too.
        best = jax.lax.stop_gradient(jnp.max(q, axis=-1, keepdims=True))
        gap = jnp.where(jnp.isposinf(q), 0, q - best)
        masked = jnp.isneginf(gap)
        return jax.nn.log_softmax(jnp.where(masked, -jnp.inf, jnp.where(masked, 0, gap) / temperature), axis=-1)


@checked
def boltzmann(
    q: Float[Array, "*batch actions"],
    tau: RealScalarLike | Float[Array, "*batch"],
    *,
    mask: Mask | None = None,
) -> BoltzmannDistribution:
    r"""Prefers better actions, the more so the lower the temperature.

    $$\pi(a) = \frac{e^{Q(a)/\tau}}{\sum_b e^{Q(b)/\tau}}$$

    Args:
        q: $Q(s, \cdot)$. −∞ gives an action probability zero; actions with +∞ share all of it. NaN gives probabilities
            that are NaN.
        tau: $\tau > 0$ in the units of q, one for all or one an example; an array changes without recompiling.
            Towards 0 the policy is greedy, with ties sharing alike; towards ∞ it is uniform. A τ below 1e-15 counts as
            1e-15, under a transform one that is not positive too.
        mask: True, or 1, where an action is legal, of the shape of q or one for all. An illegal action has probability
            zero, whatever its value. Where nothing is legal, probabilities are NaN.

    Returns:
        A `distrax.Softmax` over actions 0 to actions − 1.

    Raises:
        ValueError: If τ is known and not positive, or the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> boltzmann(jnp.array([1.0, 1.0]), 0.02).probs.tolist()
        [0.5, 0.5]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 13.1.
    """
    tau = guard(tau, lambda tau: tau > 0, "boltzmann: tau must be positive")
    temperature = jnp.broadcast_to(jnp.asarray(tau, at_least_float32(q).dtype), q.shape[:-1])
    return BoltzmannDistribution.tree_unflatten(None, (forbid(q, mask, "boltzmann"), temperature))
