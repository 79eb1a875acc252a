"""Cross-entropy of a predicted categorical distribution against a given one."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import checked, multiply_no_nan
from ._distributional import widen


@checked
def cross_entropy_loss(
    logits: Float[Array, "*batch categories"], target_probs: Float[Array, "*batch categories"]
) -> Float[Array, "*batch"]:
    r"""Makes a categorical distribution like a given one: of values over atoms, or of a policy over actions.

    $$L = -\sum_i p_i \log \mathrm{softmax}(x)_i$$

    A category without probability in the target adds nothing, so that masked logits (−∞) may stay where the target is
    zero; where it is not, the loss is infinite. The gradient in the logits is the prediction less the target, if the
    target sums to 1.

    Args:
        logits: $x$, the prediction; shifts do not matter.
        target_probs: $p$, probabilities; its gradient is stopped.

    Returns:
        The loss of each example in nats, float32 or wider. At best the entropy of the target, not zero.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(cross_entropy_loss(jnp.zeros(4), jnp.array([0.5, 0.5, 0.0, 0.0]))), 4)
        1.3863

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887,
        algorithm 1. Silver et al., *Mastering the game of Go without human knowledge*, 2017, equation 1.
    """
    logits, target = widen(logits, jax.lax.stop_gradient(target_probs))
    return -jnp.sum(multiply_no_nan(jax.nn.log_softmax(logits), target), axis=-1)
