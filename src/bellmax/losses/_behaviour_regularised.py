"""Deterministic policies held near the data: TD3+BC and ReBRAC."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import RealScalarLike, checked, masked_mean, multiply_no_nan, pmean
from ._knobs import not_negative

_SMALLEST_SCALE = 1e-6
"""Action values smaller than this on average are not blown up to one."""


@checked(widen=True)
def td3_bc_loss(
    q: Float[Array, "*batch"],
    action: Float[Array, "*batch action_dim"],
    data_action: Float[Array, "*batch action_dim"],
    *,
    alpha: RealScalarLike = 2.5,
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    r"""The actor's objective of TD3+BC: the critic's value, scaled, and the distance to the data.

    $$L = -\lambda\, \overline{Q(s, \pi(s))} + \overline{\|\pi(s) - a\|^2 / n}, \qquad
      \lambda = \frac{\alpha}{\overline{|Q(s, \pi(s))|}}$$

    The bar is the mean over the examples of all devices: the `pmean` of this loss, and of its gradients, is that of the
    whole batch. The scale λ is data.

    Args:
        q: $Q(s, \pi(s))$; the gradient reaches the policy by way of the action, and the critic's own parameters must be
            held fixed by the caller.
        action: $\pi(s)$, in the units of the action.
        data_action: $a$; its gradient is stopped.
        alpha: $\alpha \ge 0$, how much the critic counts.
        mask: Which examples count; None means all. What it drops may be infinite or NaN.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The loss of the batch; zero if the mask keeps nothing. A mean $|Q|$ below 1e-6 counts as 1e-6.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> td3_bc_loss(jnp.array([1.0, 3.0]), jnp.ones((2, 1)), jnp.zeros((2, 1))).item()
        -1.5

    References:
        Fujimoto and Gu, *A Minimalist Approach to Offline Reinforcement Learning*, 2021, arXiv:2106.06860, equations 3
        and 5; the mean over the $n$ dimensions is their implementation's.
    """
    alpha = not_negative(alpha, q, "td3_bc_loss: alpha")
    mask = jnp.ones_like(q) if mask is None else mask
    distance = jnp.mean(_square_gap(action, data_action, mask), axis=-1)
    return masked_mean(distance - alpha * _normalised(q, mask, axis_name), mask, axis_name)


@checked(widen=True)
def rebrac_actor_loss(
    q: Float[Array, "*batch"],
    action: Float[Array, "*batch action_dim"],
    data_action: Float[Array, "*batch action_dim"],
    *,
    beta: RealScalarLike,
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    r"""The actor's objective of ReBRAC.

    $$L = -\overline{Q(s, \pi(s))} \,/\, \overline{|Q(s, \pi(s))|} + \beta_1 \overline{\|\pi(s) - a\|^2}$$

    The bar is the mean over the examples of all devices, and the scale of the values is data, as in `td3_bc_loss`; the
    distance is summed over dimensions.

    Args:
        q: $Q(s, \pi(s))$; the critic's own parameters must be held fixed by the caller.
        action: $\pi(s)$, in the units of the action.
        data_action: $a$; its gradient is stopped.
        beta: $\beta_1 \ge 0$, how much the distance counts.
        mask: Which examples count; None means all. What it drops may be infinite or NaN.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The loss of the batch; zero if the mask keeps nothing. A mean $|Q|$ below 1e-6 counts as 1e-6.

    Raises:
        ValueError: If β is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> rebrac_actor_loss(jnp.array([1.0, 3.0]), jnp.ones((2, 2)), jnp.zeros((2, 2)), beta=0.25).item()
        -0.5

    References:
        Tarasov et al., *Revisiting the Minimalist Approach to Offline Reinforcement Learning*, 2023, arXiv:2305.09836.
    """
    beta = not_negative(beta, q, "rebrac_actor_loss: beta")
    mask = jnp.ones_like(q) if mask is None else mask
    distance = jnp.sum(_square_gap(action, data_action, mask), axis=-1)
    return masked_mean(beta * distance - _normalised(q, mask, axis_name), mask, axis_name)


@checked(widen=True)
def rebrac_critic_error(
    q: Float[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_q: Float[Array, "*batch"],
    next_action: Float[Array, "*batch action_dim"],
    next_data_action: Float[Array, "*batch action_dim"],
    *,
    beta: RealScalarLike,
) -> Float[Array, "*batch"]:
    r"""The critic's error of ReBRAC: the target pays for leaving the data.

    $$\delta = R + \gamma \left(Q(S', \pi(S')) - \beta_2 \|\pi(S') - A'\|^2\right) - Q(S, A)$$

    A zero discount erases the bootstrap and the distance, whatever stands in the place of the next action.

    Args:
        q: $Q(S, A)$, the prediction.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_q: $Q(S', \pi(S'))$ of the target networks, the minimum of several; its gradient is stopped.
        next_action: $\pi(S')$, the target policy's with TD3's clipped noise; its gradient is stopped.
        next_data_action: $A'$, the action that the data took in $S'$; its gradient is stopped.
        beta: $\beta_2 \ge 0$, in units of value per squared action.

    Returns:
        Target minus prediction for each example, in the units of the reward.

    Raises:
        ValueError: If β is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> rebrac_critic_error(0.0, 1.0, 0.5, 4.0, jnp.ones(2), jnp.zeros(2), beta=1.0).item()
        2.0

    References:
        Tarasov et al., *Revisiting the Minimalist Approach to Offline Reinforcement Learning*, 2023, arXiv:2305.09836.
    """
    beta = not_negative(beta, q, "rebrac_critic_error: beta")
    distance = jnp.sum(jnp.square(next_action - next_data_action), axis=-1)
    reward, discount, next_q, distance = jax.lax.stop_gradient((reward, discount, next_q, distance))
    return reward + multiply_no_nan(next_q - beta * distance, discount) - q


def _square_gap(action, data_action, mask):
    """Squared distance in each dimension, zero where the mask drops the example."""
    gap = action - jax.lax.stop_gradient(data_action)
    return jnp.square(jnp.where(mask.astype(bool)[..., None], gap, 0))


def _normalised(q, mask, axis_name):
    """Action values over the mean of their sizes, on all devices; zero where the mask drops the example."""
    q = jnp.where(mask.astype(bool), q, 0)
    mean_size = pmean(masked_mean(jnp.abs(jax.lax.stop_gradient(q)), mask, axis_name), axis_name)
    return q / jnp.maximum(mean_size, _SMALLEST_SCALE)
