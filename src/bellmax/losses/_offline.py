"""Policies out of data that others collected: weighted imitation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import RealScalarLike, checked, masked_mean, multiply_no_nan
from ._knobs import floored, positive
from ._policy_gradient import policy_gradient_loss
from ._weights import exponential_weights, with_slope


@checked(widen=True)
def awr_loss(
    log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    temperature: RealScalarLike = 1.0,
    max_weight: RealScalarLike = 20.0,
) -> Float[Array, "*batch"]:
    r"""Imitation weighted by the exponential of the advantage, the weight bounded.

    $$L = -\min\left(e^{A/T},\ w_{max}\right) \log \pi(a|s)$$

    It is also the actor of implicit Q-learning, with $w_{max} = 100$ and $T = 1/\beta$, and of critic-regularised
    regression with exponential weights. What a weight of zero multiplies is erased.

    Args:
        log_prob: $\log \pi(a|s)$ of the action in the data, in nats.
        advantage: $A$; its gradient is stopped.
        temperature: $T > 0$, in the units of the advantage. Below 1e-15 it counts as that.
        max_weight: $w_{max} > 0$.

    Returns:
        The loss of each example, in nats.

    Raises:
        ValueError: If the temperature or the bound is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> awr_loss(-jnp.ones(3), jnp.array([-jnp.inf, 0.0, 9.0])).tolist()
        [0.0, 1.0, 20.0]

    References:
        Peng et al., *Advantage-Weighted Regression*, 2019, arXiv:1910.00177. Kostrikov, Nair and Levine, *Offline
        Reinforcement Learning with Implicit Q-Learning*, 2021, arXiv:2110.06169, equation 7.
    """
    temperature = floored(positive(temperature, log_prob, "awr_loss: temperature"))
    largest = positive(max_weight, log_prob, "awr_loss: max_weight")
    weight = jnp.exp(jnp.minimum(jax.lax.stop_gradient(advantage) / temperature, jnp.log(largest)))
    return multiply_no_nan(log_prob, -weight)


@checked(widen=True)
def awac_loss(
    log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    temperature: RealScalarLike = 1.0,
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    axis_name: str | None = None,
) -> Float[Array, ""]:
    r"""Imitation weighted by a softmax of the advantages over the batch.

    $$L = -\sum_i w_i \log \pi(a_i|s_i), \qquad w_i = \frac{m_i e^{A_i/T}}{\sum_j m_j e^{A_j/T}}$$

    The weights are normalised over the examples of all devices: the `pmean` of this loss, and of its gradients, is that
    of the whole batch. So do the usual implementations; the paper's weights $e^{A/T}$ are not normalised.

    Args:
        log_prob: $\log \pi(a|s)$ of the action in the data, in nats.
        advantage: $A$; its gradient is stopped.
        temperature: $T > 0$, in the units of the advantage. Below 1e-15 it counts as that.
        mask: $m$, which examples count; None means all. What it drops may be infinite or NaN.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The loss of the batch, in nats; zero if the mask keeps nothing.

    Raises:
        ValueError: If the temperature is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = awac_loss(jnp.array([-1.0, -2.0]), jnp.log(jnp.array([1.0, 3.0])))
        >>> round(loss.item(), 4)
        1.75

    References:
        Nair et al., *AWAC: Accelerating Online Reinforcement Learning with Offline Datasets*, 2020, arXiv:2006.09359.
    """
    temperature = floored(positive(temperature, log_prob, "awac_loss: temperature"))
    found = exponential_weights(advantage, temperature, mask=mask, axis_name=axis_name)
    tilt = (found.exponents - found.mean_exponent) / temperature
    slope = masked_mean(multiply_no_nan(log_prob, tilt), found.weights, axis_name)
    return with_slope(-masked_mean(log_prob, found.weights, axis_name), temperature, slope)


@checked(widen=True)
def crr_loss(log_prob: Float[Array, "*batch"], advantage: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Critic-regularised regression: imitates what the critic approves of.

    $$L = -\mathbb{1}[A > 0] \log \pi(a|s)$$

    With exponential weights in place of binary ones it is `awr_loss`.

    Args:
        log_prob: $\log \pi(a|s)$ of the action in the data, in nats.
        advantage: $A = Q(s, a) - V(s)$; its gradient is stopped. NaN stays NaN.

    Returns:
        The loss of each example, in nats.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> crr_loss(-jnp.ones(2), jnp.array([-1.0, 1.0])).tolist()
        [0.0, 1.0]

    References:
        Wang et al., *Critic Regularized Regression*, 2020, arXiv:2006.15134.
    """
    return policy_gradient_loss(log_prob, jnp.heaviside(advantage, jnp.zeros_like(advantage)))
