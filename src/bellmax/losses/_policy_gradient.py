"""Objectives of policies."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard, ratio_of


@checked
def ppo_clip_loss(
    log_ratio: Float[Array, "*batch"], advantage: Float[Array, "*batch"], *, epsilon: RealScalarLike = 0.2
) -> Float[Array, "*batch"]:
    r"""The clipped surrogate of proximal policy optimisation, with its sign turned for minimising.

    $$L = -\min(\rho A,\ \text{clip}(\rho, 1-\epsilon, 1+\epsilon)\,A), \qquad
      \rho = \exp\left(\log \pi(a|s) - \log \mu(a|s)\right)$$

    The gradient is zero once the ratio has moved past its bound in the direction that the advantage favours.

    Args:
        log_ratio: $\log \pi(a|s) - \log \mu(a|s)$, learner minus behaviour, in nats. Beyond ±40 (±9 in float16) it is
            clipped, so that the loss and its gradient stay finite; NaN stays NaN.
        advantage: $A$, in any unit; its gradient is stopped.
        epsilon: $\epsilon > 0$, how far the ratio may move.

    Returns:
        The loss of each example.

    Raises:
        ValueError: If ε is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = ppo_clip_loss(jnp.log(jnp.array([1.0, 2.0, 2.0])), jnp.array([1.0, 1.0, -1.0]))
        >>> [round(each, 4) for each in loss.tolist()]
        [-1.0, -1.2, 2.0]

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347, equation 7.
    """
    epsilon = jnp.asarray(guard(epsilon, lambda x: x > 0, "ppo_clip_loss: epsilon must be positive"), log_ratio.dtype)
    advantage = jax.lax.stop_gradient(advantage)
    ratio = ratio_of(log_ratio)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage)
