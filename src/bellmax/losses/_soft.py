"""Smooth maxima of action values, and the errors that bootstrap from them."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, ValueTransform, checked, guard, inverted, take_action
from ._bootstrap import one_step_error

_COLDEST = 1e-15
"""Colder temperatures count as this: its square, which the gradient divides by, is a float32 still."""


@checked(widen=True)
def soft_maximum(q: Float[Array, "*batch actions"], tau: RealScalarLike) -> Float[Array, "*batch"]:
    r"""The value of acting softly: the best mean value plus entropy, at a temperature.

    $$\tau \log \sum_a e^{Q(a)/\tau} = \max_\pi \sum_a \pi(a) \left(Q(a) - \tau \log \pi(a)\right)$$

    It lies between $\max_a Q(a)$, its limit for a cold τ, and $\max_a Q(a) + \tau \log n$. Its gradient is the softmax
    of $Q/\tau$.

    Args:
        q: $Q(s, \cdot)$. −∞ masks an action; where all are masked the result is −∞ and its gradient zero, in τ too.
            +∞ gives +∞.
        tau: $\tau > 0$, the temperature, in the units of q. A τ below 1e-15 counts as 1e-15, under a transform one
            that is not positive too.

    Returns:
        The soft value, in the units of q. It stops no gradient.

    Raises:
        ValueError: If τ is known and not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> q = jnp.array([1.0, 3.0])
        >>> [round(soft_maximum(q, tau).item(), 4) for tau in (1e-6, 1.0)]
        [3.0, 3.1269]

    References:
        Haarnoja et al., *Reinforcement Learning with Deep Energy-Based Policies*, 2017, arXiv:1702.08165.
    """
    tau = guard(tau, lambda x: x > 0, "soft_maximum: tau must be positive")
    top, gap, masked = _below_the_top(q)
    tau = jnp.maximum(jnp.asarray(tau, gap.dtype), _COLDEST)
    total = jnp.sum(jnp.where(masked, 0, jnp.exp(gap / tau)), axis=-1)
    return top + tau * jnp.log(jnp.where(total == 0, 1, total))  # zero only where all are masked: the top counts 1


@checked(widen=True)
def mellowmax(q: Float[Array, "*batch actions"], omega: RealScalarLike) -> Float[Array, "*batch"]:
    r"""A smooth maximum that is a non-expansion and never above the maximum.

    $$\text{mm}_\omega(Q) = \frac{1}{\omega} \log\left(\frac{1}{n} \sum_a e^{\omega Q(a)}\right)$$

    It lies between the mean, its limit for ω towards 0, and the maximum, its limit for a large ω.

    Args:
        q: $Q(s, \cdot)$. −∞ masks an action, which then does not count among the n; where all are masked the result
            is −∞ and its gradient zero. +∞ gives +∞.
        omega: $\omega > 0$, in the inverse units of q. An ω below 1e-15 counts as 1e-15, under a transform one that is
            not positive too.

    Returns:
        The smooth maximum, in the units of q. It stops no gradient.

    Raises:
        ValueError: If ω is known and not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> q = jnp.array([1.0, 3.0])
        >>> [round(mellowmax(q, omega).item(), 4) for omega in (1e-6, 1.0, 1e6)]
        [2.0, 2.4338, 3.0]

    References:
        Asadi and Littman, *An Alternative Softmax Operator for Reinforcement Learning*, 2016, arXiv:1612.05628.
    """
    omega = guard(omega, lambda x: x > 0, "mellowmax: omega must be positive")
    top, gap, masked = _below_the_top(q)
    omega = jnp.maximum(jnp.asarray(omega, gap.dtype), _COLDEST)
    count = jnp.maximum(jnp.sum(~masked, axis=-1, dtype=gap.dtype), 1)
    # Near a mean weight of 1 its distance from 1 is what counts, far from it the weight itself.
    excess = jnp.sum(jnp.where(masked, 0, jnp.expm1(omega * gap)), axis=-1) / count
    weight = jnp.sum(jnp.where(masked, 0, jnp.exp(omega * gap)), axis=-1) / count
    near, far = jnp.log1p(jnp.maximum(excess, -0.5)), jnp.log(jnp.maximum(weight, jnp.finfo(gap.dtype).tiny))
    return top + jnp.where(excess < -0.5, far, near) / omega


@checked(widen=True)
def soft_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    *,
    tau: RealScalarLike = 1.0,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of soft Q-learning.

    $$\delta = f\left(R + \gamma\, \tau \log \sum_{a'} e^{f^{-1}(Q(S', a'))/\tau}\right) - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor, −∞ where an action is masked; its gradient is stopped.
        tau: $\tau > 0$, the temperature, in the units of the reward; see `soft_maximum`.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If τ is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0])
        >>> round(soft_q_learning_error(q, 0, 1.0, 0.5, next_q).item(), 4)
        1.5635

    References:
        Haarnoja et al., *Reinforcement Learning with Deep Energy-Based Policies*, 2017, arXiv:1702.08165.
    """
    tau = guard(tau, lambda x: x > 0, "soft_q_learning_error: tau must be positive")
    next_value = soft_maximum(inverted(next_q, transform), tau)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


@checked(widen=True)
def mellowmax_q_learning_error(
    q: Float[Array, "*batch actions"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch actions"],
    *,
    omega: RealScalarLike,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The error of Q-learning with a mellow maximum.

    $$\delta = f\left(R + \gamma\, \text{mm}_\omega(f^{-1}(Q(S', \cdot)))\right) - Q(S, A)$$

    Args:
        q: $Q(S, \cdot)$, the prediction.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment; an n-step sum serves too.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \cdot)$ of the true successor, −∞ where an action is masked; its gradient is stopped.
        omega: $\omega > 0$, in the inverse units of the reward; see `mellowmax`.
        transform: $f$ and $f^{-1}$, if the predictions are transformed values; None for the identity.

    Returns:
        Target minus prediction for each example, in the units of the prediction.

    Raises:
        ValueError: If ω is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q = jnp.array([1.0, 2.0]), jnp.array([1.0, 3.0])
        >>> round(mellowmax_q_learning_error(q, 0, 1.0, 0.5, next_q, omega=1.0).item(), 4)
        1.2169

    References:
        Asadi and Littman, 2016, arXiv:1612.05628. Kim et al., *DeepMellow*, 2019.
    """
    omega = guard(omega, lambda x: x > 0, "mellowmax_q_learning_error: omega must be positive")
    next_value = mellowmax(inverted(next_q, transform), omega)
    return one_step_error(take_action(q, action), reward, discount, next_value, transform)


def _below_the_top(q):
    """Returns the best value, the distance of each from it and which are masked; nothing is subtracted from +∞."""
    masked = jnp.isneginf(q)
    top = jax.lax.stop_gradient(jnp.max(q, axis=-1))
    return top, jnp.where(masked, 0, q - jnp.where(jnp.isposinf(top), 0, top)[..., None]), masked
