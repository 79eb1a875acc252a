"""The clipped surrogate of proximal policy optimisation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard, ratio_of
from ._knobs import positive


@checked(widen=True)
def ppo_clip_loss(
    log_ratio: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    epsilon: RealScalarLike = 0.2,
    epsilon_high: RealScalarLike | None = None,
    dual_clip: RealScalarLike | None = None,
) -> Float[Array, "*batch"]:
    r"""The clipped surrogate of proximal policy optimisation, with its sign turned for minimising.

    $$L = -\min(\rho A,\ \text{clip}(\rho, 1-\epsilon, 1+\epsilon_{high})\,A), \qquad
      \rho = \exp\left(\log \pi(a|s) - \log \mu(a|s)\right)$$

    The gradient is zero once the ratio has moved past its bound in the direction that the advantage favours. A dual
    clip $c$ bounds the loss of a bad action that became much likelier: $L \leftarrow \min(L, -cA)$ where $A < 0$.

    Args:
        log_ratio: $\log \pi(a|s) - \log \mu(a|s)$, learner minus behaviour, in nats. Beyond ±40 it is clipped, so
            that the loss and its gradient stay finite in float32; a result above float16's largest number is infinite
            there. NaN stays NaN.
        advantage: $A$, in any unit; its gradient is stopped.
        epsilon: $\epsilon > 0$, how far the ratio may move.
        epsilon_high: $\epsilon_{high} > 0$, how far it may rise; None means $\epsilon$. DAPO's is 0.28.
        dual_clip: $c > 1$, commonly 3; None means none.

    Returns:
        The loss of each example.

    Raises:
        ValueError: If ε or $\epsilon_{high}$ is known and not positive, or $c$ is known and not above 1.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> log_ratio, advantage = jnp.log(jnp.array([1.0, 2.0, 2.0])), jnp.array([1.0, 1.0, -1.0])
        >>> [round(each, 4) for each in ppo_clip_loss(log_ratio, advantage).tolist()]
        [-1.0, -1.2, 2.0]
        >>> [round(each, 4) for each in ppo_clip_loss(log_ratio, advantage, dual_clip=1.5).tolist()]
        [-1.0, -1.2, 1.5]

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347, equation 7. Yu et al.,
        *DAPO*, 2025, arXiv:2503.14476, section 3.1, for $\epsilon_{high}$. Ye et al., *Mastering Complex Control in
        MOBA Games with Deep Reinforcement Learning*, 2019, arXiv:1912.09729, for the dual clip.
    """
    epsilon = positive(epsilon, log_ratio, "ppo_clip_loss: epsilon")
    high = epsilon if epsilon_high is None else positive(epsilon_high, log_ratio, "ppo_clip_loss: epsilon_high")
    advantage = jax.lax.stop_gradient(advantage)
    ratio = ratio_of(log_ratio)
    loss = -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - epsilon, 1 + high) * advantage)
    if dual_clip is None:
        return loss
    bound = jnp.asarray(guard(dual_clip, lambda x: x > 1, "ppo_clip_loss: dual_clip must be above 1"), loss.dtype)
    return jnp.where(advantage < 0, jnp.minimum(loss, -bound * advantage), loss)
