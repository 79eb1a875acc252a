"""Penalties that keep action values low where there is no data."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, checked, guard, take_action
from ._soft import soft_maximum


@checked(widen=True)
def cql_loss(
    q: Float[Array, "*batch actions"], action: Integer[Array, "*batch"], *, tau: RealScalarLike = 1.0
) -> Float[Array, "*batch"]:
    r"""The penalty of conservative Q-learning, exact over discrete actions.

    $$L = \tau \log \sum_a e^{Q(s, a)/\tau} - Q(s, a_{data})$$

    It is never negative: at τ = 1 it is the cross-entropy of the data under the softmax of the values. It is added,
    times a weight, to the squared error of Q-learning.

    Args:
        q: $Q(s, \cdot)$, which learns. −∞ masks an action.
        action: The action in the data, from 0 to actions − 1; an index outside gives NaN.
        tau: $\tau > 0$, the temperature, in the units of q; see `soft_maximum`.

    Returns:
        The loss of each example, in the units of q.

    Raises:
        ValueError: If τ is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> round(cql_loss(jnp.array([2.0, 2.0]), 0).item(), 4)
        0.6931

    References:
        Kumar et al., *Conservative Q-Learning for Offline Reinforcement Learning*, 2020, arXiv:2006.04779, equation 4.
    """
    tau = guard(tau, lambda x: x > 0, "cql_loss: tau must be positive")
    return soft_maximum(q, tau) - take_action(q, action)


@checked(widen=True)
def sampled_cql_loss(
    q: Float[Array, "samples *batch"],
    log_density: Float[Array, "samples *batch"],
    data_q: Float[Array, "*batch"],
    *,
    tau: RealScalarLike = 1.0,
) -> Float[Array, "*batch"]:
    r"""The penalty of conservative Q-learning for continuous actions, by importance sampling.

    $$L = \tau \log\left(\frac{1}{N} \sum_{i=1}^N e^{Q(s, a_i)/\tau - \log \mu_i(a_i)}\right) - Q(s, a_{data})$$

    The first term estimates $\tau \log \int e^{Q(s, a)/\tau}\, da$. The samples may come from several proposals, each
    with its own density: in the paper a third from the uniform, a third from $\pi(\cdot|s)$ and a third from
    $\pi(\cdot|s')$. Unlike `cql_loss` it may be negative, as a density may exceed 1.

    Args:
        q: $Q(s, a_i)$, one row a sample, which learns.
        log_density: $\log \mu_i(a_i)$ of the proposal that drew the sample, in nats; its gradient is stopped.
        data_q: $Q(s, a_{data})$, which learns.
        tau: $\tau > 0$, the temperature, in the units of q; see `soft_maximum`.

    Returns:
        The loss of each example, in the units of q.

    Raises:
        ValueError: If τ is known and not positive, or if there are no samples.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> q, log_density = jnp.array([2.0, 2.0]), jnp.log(jnp.array([0.5, 0.5]))
        >>> round(sampled_cql_loss(q, log_density, 2.0).item(), 4)
        0.6931

    References:
        Kumar et al., *Conservative Q-Learning for Offline Reinforcement Learning*, 2020, arXiv:2006.04779, appendix F.
    """
    tau = guard(tau, lambda x: x > 0, "sampled_cql_loss: tau must be positive")
    samples = q.shape[0]
    if samples == 0:
        raise ValueError("sampled_cql_loss: at least one sample is needed")
    scale = jnp.asarray(tau, q.dtype)
    corrected = q - scale * jax.lax.stop_gradient(log_density)
    soft = soft_maximum(jnp.moveaxis(corrected, 0, -1), tau) - scale * math.log(samples)
    return soft - data_q
