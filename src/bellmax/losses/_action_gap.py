"""Errors of Q-learning that widen the gap between the best action and the others."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, ValueTransform, checked, guard, inverted, mix, multiply_no_nan, take_action
from ._bootstrap import one_step_error
from ._soft import soft_maximum


@checked(widen=True)
def persistent_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    *,
    beta: RealScalarLike,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of Q-learning that supposes, in part, that the action is repeated.

    $$\delta = f\left(R + \gamma \left[(1-\beta) \max_{a'} f^{-1}(Q(S', a')) + \beta\, f^{-1}(Q(S', A))\right]\right)
      - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor; its gradient is stopped. The same action should be legal there.
        beta: $\beta \in [0, 1]$, the weight of repeating; 0 is Q-learning.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If β is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0])
        >>> persistent_q_learning_error(q, 0, 1.0, 0.5, next_q, beta=0.5).tolist()
        2.0

    References:
        Bellemare et al., *Increasing the Action Gap*, 2016, arXiv:1512.04860.
    """
    beta = _unit("persistent_q_learning_error: beta", beta, q.dtype)
    next_q = inverted(next_q, transform)
    best, repeated = jnp.max(next_q, axis=-1), take_action(next_q, action)
    next_value = mix(best, repeated, beta)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def advantage_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    target_q: Float[Array, "*batch actions"],
    *,
    beta: RealScalarLike,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of advantage learning: the target falls by a part of the action's distance from the best.

    $$\delta = R + \gamma \max_{a'} Q(S', a') - \beta \left[\max_b Q(S, b) - Q(S, A)\right] - Q_{online}(S, A)$$

    With a transform every Q in the target is $f^{-1}$ of the network's, and the target is $f$ of what stands here.

    Args:
        q: $Q_{online}(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor from the target network; its gradient is stopped.
        target_q: $Q(S, \cdot)$ from the target network, at the state of the prediction; its gradient is stopped.
        beta: $\beta \in [0, 1]$, called α in the paper; the best action is preserved below 1, and 0 is Q-learning.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If β is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q, target_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 5.0]), jnp.array([2.0, 4.0])
        >>> advantage_learning_error(q, 0, 1.0, 0.5, next_q, target_q, beta=0.5).tolist()
        1.5

    References:
        Bellemare et al., *Increasing the Action Gap*, 2016, arXiv:1512.04860; the operator is Baird's, 1999.
    """
    beta = _unit("advantage_learning_error: beta", beta, q.dtype)
    next_q, target_q = inverted(next_q, transform), inverted(target_q, transform)
    lowered = reward - multiply_no_nan(_gap(target_q, action), beta)
    return one_step_error(take_action(q, action), lowered, discount, jnp.max(next_q, axis=-1), transform)


@checked(widen=True)
def persistent_advantage_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    target_q: Float[Array, "*batch actions"],
    *,
    beta: RealScalarLike,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of persistent advantage learning: the target falls by the smaller of the gaps now and next.

    $$\delta = R + \gamma \max_{a'} Q(S', a') - \beta \min\left[\max_b Q(S, b) - Q(S, A),\
      \max_b Q(S', b) - Q(S', A)\right] - Q_{online}(S, A)$$

    An action that was worse than another is forgiven where repeating it is good. A zero discount erases the gap next,
    which is then 0: at the end of an episode this is Q-learning. With a transform every Q in the target is $f^{-1}$ of
    the network's, and the target is $f$ of what stands here.

    Args:
        q: $Q_{online}(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor from the target network; its gradient is stopped. Where the same
            action is masked with −∞ only the gap now counts.
        target_q: $Q(S, \cdot)$ from the target network, at the state of the prediction; its gradient is stopped.
        beta: $\beta \in [0, 1]$, called α in the paper; the best action is preserved below 1, and 0 is Q-learning.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If β is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q, target_q = jnp.array([1.0, 2.0]), jnp.array([4.0, 5.0]), jnp.array([2.0, 4.0])
        >>> persistent_advantage_learning_error(q, 0, 1.0, 1.0, next_q, target_q, beta=0.5).tolist()
        4.5

    References:
        Bellemare et al., *Increasing the Action Gap*, 2016, arXiv:1512.04860, whose experiments take the larger of the
        two errors.
    """
    beta = _unit("persistent_advantage_learning_error: beta", beta, q.dtype)
    next_q, target_q = inverted(next_q, transform), inverted(target_q, transform)
    gap_next = jnp.where(discount == 0, 0, _gap(next_q, action))
    lowered = reward - multiply_no_nan(jnp.minimum(_gap(target_q, action), gap_next), beta)
    return one_step_error(take_action(q, action), lowered, discount, jnp.max(next_q, axis=-1), transform)


@checked(widen=True)
def munchausen_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    target_q: Float[Array, "*batch actions"],
    *,
    tau: RealScalarLike = 0.03,
    alpha: RealScalarLike = 0.9,
    log_policy_floor: RealScalarLike = -1.0,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of Munchausen Q-learning: the reward gains a part of the policy's own log-probability.

    $$\delta = R + \alpha \left[\tau \log \pi(A|S)\right]_{l_0}^{0} + \gamma \sum_{a'} \pi(a'|S')
      \left(Q(S', a') - \tau \log \pi(a'|S')\right) - Q_{online}(S, A), \qquad \pi = \text{softmax}(Q/\tau)$$

    The sum is `soft_maximum` of the next values. Defaults are the paper's. With a transform every Q in the target
    is $f^{-1}$ of the network's, and the target is $f$ of what stands here.

    Args:
        q: $Q_{online}(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor from the target network; its gradient is stopped.
        target_q: $Q(S, \cdot)$ from the target network, at the state of the prediction; its gradient is stopped.
        tau: $\tau > 0$, the temperature, in the units of the reward.
        alpha: $\alpha \in [0, 1]$, the weight of the log-probability; 0 is soft Q-learning.
        log_policy_floor: $l_0 \le 0$, the least value of $\tau \log \pi$, in the units of the reward.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If a knob is known and out of its range.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, target_q = jnp.array([1.0, 2.0]), jnp.array([3.0, 3.0])
        >>> round(munchausen_q_learning_error(q, 0, 1.0, 0.0, q, target_q, tau=1.0).item(), 4)
        -0.6238

    References:
        Vieillard, Pietquin and Geist, *Munchausen Reinforcement Learning*, 2020, arXiv:2007.14430, equation 1;
        the floor belongs to its experiments.
    """
    name = "munchausen_q_learning_error"
    tau = guard(tau, lambda x: x > 0, f"{name}: tau must be positive")
    alpha = _unit(f"{name}: alpha", alpha, q.dtype)
    floor = guard(log_policy_floor, lambda x: x <= 0, f"{name}: log_policy_floor must not be positive")
    next_q, target_q = inverted(next_q, transform), inverted(target_q, transform)
    scaled_log_prob = take_action(target_q, action) - soft_maximum(target_q, tau)
    bonus = alpha * jnp.clip(scaled_log_prob, jnp.asarray(floor, q.dtype), 0)
    next_value = soft_maximum(next_q, tau)
    return one_step_error(take_action(q, action), reward + bonus, discount, next_value, transform)


def _unit(name, knob, dtype):
    return jnp.asarray(guard(knob, lambda x: (x >= 0) & (x <= 1), f"{name} must be in [0, 1]"), dtype)


def _gap(q, action):
    """Distance of an action from the best one."""
    return jnp.max(q, axis=-1) - take_action(q, action)
