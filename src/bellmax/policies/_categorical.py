"""The softmax of logits."""

import jax
from jaxtyping import Array, Float

from .._core import at_least_float32, checked
from ._discrete import Discrete


class Categorical(Discrete):
    """The distribution that `categorical` returns."""

    leaves = ("unnormalised_logits",)
    unnormalised_logits: Array

    @property
    def logits(self) -> Array:
        """Normalised log-probabilities, `*batch actions`."""
        return jax.nn.log_softmax(at_least_float32(self.unnormalised_logits), axis=-1)


@checked
def categorical(logits: Float[Array, "*batch actions"]) -> Categorical:
    r"""Chooses an action with the probability that its logit says.

    $$\pi(a) = \frac{e^{z_a}}{\sum_b e^{z_b}}$$

    Args:
        logits: $z$, unnormalised log-probabilities in nats. −∞ gives an action probability zero; at least one must be
            finite, or every log-probability is NaN.

    Returns:
        A `distrax.Categorical` over actions 0 to actions − 1.

    Raises:
        jaxtyping.TypeCheckError: If the logits have no axis, or are not numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = categorical(jnp.array([0.0, 0.0, -jnp.inf]))
        >>> pi.probs.tolist()
        [0.5, 0.5, 0.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 13.1.
    """
    return Categorical.tree_unflatten(None, (logits,))
