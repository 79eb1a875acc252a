"""Maximum a posteriori policy optimisation, in parts that add up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, expected_value
from ._knobs import not_negative, positive, spread
from ._weights import exponential_weights, temperature_dual


@checked(widen=True)
def mpo_weights(q: Float[Array, "samples *batch"], temperature: RealScalarLike) -> Float[Array, "samples *batch"]:
    r"""The improved policy of the E-step, as weights of sampled actions.

    $$w_j = \frac{e^{Q(s, a_j)/\eta}}{\sum_k e^{Q(s, a_k)/\eta}}, \qquad a_j \sim \pi_{old}(\cdot|s)$$

    Sequential Monte Carlo policy optimisation (SPO) weighs its particles in the same way, by the sum of the
    temporal-difference errors along each one's path in place of $Q$.

    Args:
        q: $Q(s, a_j)$ of the sampled actions, sample axis first; −∞ gives weight zero.
        temperature: $\eta > 0$, in the units of the value; its gradient is stopped. Below 1e-15 it counts as that.

    Returns:
        Weights that add up to one over the samples; no gradient flows through them.

    Raises:
        ValueError: If the temperature is known and not positive.
        jaxtyping.TypeCheckError: If there is no axis of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(each, 4) for each in mpo_weights(jnp.log(jnp.array([1.0, 3.0])), 1.0).tolist()]
        [0.25, 0.75]

    References:
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, section 4.1. Macfarlane
        et al., *SPO: Sequential Monte Carlo Policy Optimisation*, 2024, arXiv:2402.07963.
    """
    weights = exponential_weights(q, positive(temperature, q, "mpo_weights: temperature"), axis=0).weights
    return weights / jnp.sum(weights, axis=0, keepdims=True)


@checked(widen=True)
def mpo_temperature_loss(
    q: Float[Array, "samples *batch"], temperature: RealScalarLike, *, epsilon: RealScalarLike
) -> Float[Array, "*batch"]:
    r"""The dual whose minimum is the temperature at which the E-step moves by a given divergence.

    $$L = \eta \left(\epsilon + \log \frac{1}{S} \sum_{j=1}^{S} e^{Q(s, a_j)/\eta}\right)$$

    At the minimum of its mean, the weights of `mpo_weights` diverge by ε from uniform ones, on average over the states.

    Keep the temperature positive by a softplus of a free parameter: `temperature = jax.nn.softplus(parameter) + 1e-8`.
    A parameter that is clipped to a positive range has no gradient outside it, and never returns.

    Args:
        q: $Q(s, a_j)$ of the sampled actions, sample axis first; its gradient is stopped.
        temperature: $\eta > 0$, in the units of the value; what learns. Below 1e-15 it counts as that, and the slope
            stays alive.
        epsilon: $\epsilon > 0$, the divergence in nats.

    Returns:
        The loss of each state, in the units of the value.

    Raises:
        ValueError: If the temperature or ε is known and not positive.
        jaxtyping.TypeCheckError: If there is no axis of samples.

    Example:
        >>> import jax.numpy as jnp
        >>> round(mpo_temperature_loss(jnp.log(jnp.array([1.0, 3.0])), 1.0, epsilon=0.1).item(), 4)
        0.7931

    References:
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, section 4.1.
    """
    temperature = positive(temperature, q, "mpo_temperature_loss: temperature")
    epsilon = positive(epsilon, q, "mpo_temperature_loss: epsilon")
    return temperature_dual(exponential_weights(q, temperature, axis=0), temperature, epsilon)


@checked(widen=True)
def mpo_policy_loss(
    log_prob: Float[Array, "samples *batch"], weights: Float[Array, "samples *batch"]
) -> Float[Array, "*batch"]:
    r"""The M-step: imitates sampled actions by their weights.

    $$L = -\sum_j w_j \log \pi(a_j|s)$$

    A weight of zero erases what it multiplies. The whole loss of MPO is this one, `mpo_temperature_loss` and a
    `kl_penalty_loss` for each divergence that is bounded, added up.

    Args:
        log_prob: $\log \pi(a_j|s)$ of the sampled actions in nats, sample axis first.
        weights: $w_j$, such as those of `mpo_weights`; their gradient is stopped.

    Returns:
        The loss of each state, in nats.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> mpo_policy_loss(jnp.array([-1.0, -3.0]), jnp.array([0.25, 0.75])).item()
        2.5

    References:
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, section 4.2.
    """
    weights = jax.lax.stop_gradient(weights)
    return -expected_value(jnp.moveaxis(log_prob, 0, -1), jnp.moveaxis(weights, 0, -1))


@checked(widen=True)
def kl_penalty_loss(
    kl: Float[Array, "*batch"],
    multiplier: RealScalarLike | Float[Array, "*#batch"],
    *,
    epsilon: RealScalarLike,
) -> Float[Array, "*batch"]:
    r"""Bounds a divergence by a penalty whose weight is learned.

    $$L = \text{sg}(\alpha)\, d + \alpha \left(\epsilon - \text{sg}(d)\right)$$

    The policy shrinks the divergence at the present weight; the weight grows while the divergence exceeds its bound and
    falls while it does not. Keep the multiplier positive by a softplus of a free parameter, as in
    `mpo_temperature_loss`. In the first part it is data.

    To bound each dimension of a Gaussian by itself, give `gaussian_kl` every parameter as `x[..., None]`: its result
    then has the action's dimensions as last axis. Pass a multiplier a dimension, and sum the loss over them.

    Args:
        kl: $d$, the divergence of the learner from the old policy, in nats.
        multiplier: $\alpha \ge 0$, one for all or an array that broadcasts to `kl`.
        epsilon: $\epsilon > 0$, the bound in nats.

    Returns:
        The loss of each divergence.

    Raises:
        ValueError: If the multiplier is known and negative, or ε is known and not positive.
        jaxtyping.TypeCheckError: If the multiplier does not broadcast to the divergence.

    Example:
        >>> import jax.numpy as jnp
        >>> kl_penalty_loss(jnp.array([0.5, 0.0]), 2.0, epsilon=0.25).tolist()
        [0.5, 0.5]

    References:
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, section 4.2, and
        *Relative Entropy Regularized Policy Iteration*, 2018, arXiv:1812.02256.
    """
    multiplier = spread(not_negative(multiplier, kl, "kl_penalty_loss: multiplier"), kl)
    epsilon = positive(epsilon, kl, "kl_penalty_loss: epsilon")
    return jax.lax.stop_gradient(multiplier) * kl + multiplier * (epsilon - jax.lax.stop_gradient(kl))
