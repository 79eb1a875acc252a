"""Advantages of answers to one question, each against the others."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked
from ._knobs import positive


@checked(widen=True)
def group_advantage(
    reward: Float[Array, "*batch group"], *, epsilon: RealScalarLike = 1e-4, scale: bool = True
) -> Float[Array, "*batch group"]:
    r"""The advantage over one's group, in units of the group's deviation (GRPO).

    $$A_i = \frac{R_i - \bar R}{\sigma + \epsilon}, \qquad \sigma^2 = \frac{1}{G} \sum_j (R_j - \bar R)^2$$

    A group whose rewards are equal has advantages zero. Without the scale it is Dr. GRPO's, which does not favour
    questions of little spread.

    Args:
        reward: $R$, in any unit, the group's axis last.
        epsilon: $\epsilon > 0$, in the units of the reward.
        scale: Whether to divide by the deviation.

    Returns:
        The advantage of each answer. Differentiable.

    Raises:
        ValueError: If ε is known and not positive.
        jaxtyping.TypeCheckError: If there is no axis for the group.

    Example:
        >>> import jax.numpy as jnp
        >>> group_advantage(jnp.array([0.0, 1.0, 1.0, 2.0]), scale=False).tolist()
        [-1.0, 0.0, 0.0, 1.0]

    References:
        Shao et al., *DeepSeekMath*, 2024, arXiv:2402.03300, section 4.1. Liu et al., *Understanding R1-Zero-Like
        Training: A Critical Perspective*, 2025, arXiv:2503.20783, for `scale=False`.
    """
    epsilon = positive(epsilon, reward, "group_advantage: epsilon")
    centred = _centred(reward)
    if not scale:
        return centred
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    # The root has no slope at zero.
    deviation = jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))
    return centred / (deviation + epsilon)


@checked(widen=True)
def leave_one_out_advantage(reward: Float[Array, "*batch group"]) -> Float[Array, "*batch group"]:
    r"""The advantage over the mean of the others in one's group (RLOO).

    $$A_i = R_i - \frac{1}{G - 1} \sum_{j \ne i} R_j = \frac{G}{G - 1} \left(R_i - \bar R\right)$$

    The baseline does not depend on the answer itself, so the policy gradient stays unbiased.

    Args:
        reward: $R$, in any unit, the group's axis last.

    Returns:
        The advantage of each answer, in the units of the reward. Differentiable.

    Raises:
        ValueError: If the group has fewer than two members.
        jaxtyping.TypeCheckError: If there is no axis for the group.

    Example:
        >>> import jax.numpy as jnp
        >>> leave_one_out_advantage(jnp.array([0.0, 1.0, 5.0])).tolist()
        [-3.0, -1.5, 4.5]

    References:
        Ahmadian et al., *Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in
        LLMs*, 2024, arXiv:2402.14740. Kool, van Hoof and Welling, *Buy 4 REINFORCE Samples, Get a Baseline
        for Free!*, 2019.
    """
    group = reward.shape[-1]
    if group < 2:
        raise ValueError(f"leave_one_out_advantage: a group needs at least two members; got {group}")
    return _centred(reward) * (group / (group - 1))


def _centred(reward):
    """Subtracts the group's mean; of equal rewards exactly zero, where a mean would round."""
    distance = reward - jax.lax.stop_gradient(reward[..., :1])
    return distance - jnp.mean(distance, axis=-1, keepdims=True)
