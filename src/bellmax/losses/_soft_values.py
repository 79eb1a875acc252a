"""Values of soft actor-critic: entropy is part of what is earned."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, expected_value, guard, multiply_no_nan
from ._bootstrap import one_step_error
from ._soft import soft_maximum


@checked(widen=True)
def soft_value(
    q: Float[Array, "*batch"], log_prob: Float[Array, "*batch"], alpha: RealScalarLike | Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Estimates the soft value of a state from one sampled action.

    $$V(s) = Q(s, a) - \alpha \log \pi(a|s), \qquad a \sim \pi(\cdot|s)$$

    It stops no gradient: its negative is the loss of the actor, with a reparametrised action and α stopped.

    Args:
        q: $Q(s, a)$, often the least of several critics (`ensemble_min`).
        log_prob: $\log \pi(a|s)$, in nats.
        alpha: $\alpha \ge 0$, the temperature, in the units of q a nat; one for all or one an example. At 0 the
            log-probability does not matter, infinite or not.

    Returns:
        The soft value, in the units of q.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> soft_value(jnp.array([1.0]), jnp.array([-2.0]), 0.5).tolist()
        [2.0]

    References:
        Haarnoja et al., *Soft Actor-Critic*, 2018, arXiv:1801.01290, equation 3.
    """
    alpha = guard(alpha, lambda x: x >= 0, "soft_value: alpha must not be negative")
    return q - multiply_no_nan(log_prob, jnp.asarray(alpha, q.dtype))


@checked(widen=True)
def discrete_soft_value(
    q: Float[Array, "*batch actions"],
    logits: Float[Array, "*batch actions"],
    alpha: RealScalarLike | Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    r"""The soft value of a state, exact over discrete actions.

    $$V(s) = \sum_a \pi(a|s) \left(Q(s, a) - \alpha \log \pi(a|s)\right), \qquad \pi = \text{softmax}(\text{logits})$$

    It stops no gradient. An action whose logit is −∞ adds nothing, even where its value is −∞; where all are masked
    the result is −∞ and its gradient zero.

    Args:
        q: $Q(s, \cdot)$, often the least of several critics (`ensemble_min`).
        logits: Logits of $\pi(\cdot|s)$; log-probabilities are logits too.
        alpha: $\alpha \ge 0$, the temperature, in the units of q a nat; one for all or one an example.

    Returns:
        The soft value, in the units of q.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(discrete_soft_value(jnp.array([1.0, 3.0]), jnp.zeros(2), 1.0).item(), 4)
        2.6931

    References:
        Christodoulou, *Soft Actor-Critic for Discrete Action Settings*, 2019, arXiv:1910.07207, equation 10.
    """
    alpha = guard(alpha, lambda x: x >= 0, "discrete_soft_value: alpha must not be negative")
    masked = jnp.isneginf(logits)
    empty = masked.all(axis=-1)
    total = soft_maximum(jnp.where(empty[..., None], 0, logits), 1.0)
    log_probs = jnp.where(masked, 0, logits - total[..., None])
    probs = jnp.where(masked, 0, jnp.exp(log_probs))
    entropy = -jnp.sum(probs * log_probs, axis=-1)
    value = expected_value(q, probs) + jnp.asarray(alpha, q.dtype) * entropy
    return jnp.where(empty, -jnp.inf, value)


@checked(widen=True)
def sac_critic_error(
    q: Float[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch"],
    next_log_prob: Float[Array, "*batch"],
    alpha: RealScalarLike | Float[Array, "*batch"],
) -> Float[Array, "*batch"]:
    r"""The error of one critic of soft actor-critic.

    $$\delta = R + \gamma \left[Q(S', A') - \alpha \log \pi(A'|S')\right] - Q(S, A), \qquad A' \sim \pi(\cdot|S')$$

    An ensemble of critics is `jax.vmap(sac_critic_error, (0, None, None, None, None, None))`: all learn the same
    target, and the loss of an example is the sum over critics of half their squared errors, as in the paper, not the
    mean.

    Args:
        q: $Q(S, A)$, the prediction.
        reward: $R$, in the units of the environment; an n-step sum serves too, without the entropies between.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', A')$ from the target networks, usually their `ensemble_min`; its gradient is stopped.
        next_log_prob: $\log \pi(A'|S')$ of the action that `next_q` is for, in nats; its gradient is stopped.
        alpha: $\alpha \ge 0$, the temperature, in the units of the reward a nat; its gradient is stopped.

    Returns:
        Target minus prediction for each example, in the units of the reward.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> sac_critic_error(1.0, 2.0, 0.5, 4.0, -2.0, 0.5).tolist()
        3.5

    References:
        Haarnoja et al., *Soft Actor-Critic Algorithms and Applications*, 2018, arXiv:1812.05905, equations 3 and 5.
    """
    alpha = guard(alpha, lambda x: x >= 0, "sac_critic_error: alpha must not be negative")
    return one_step_error(q, reward, discount, soft_value(next_q, next_log_prob, alpha))
