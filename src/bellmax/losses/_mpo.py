"""Maximum a posteriori policy optimisation, in parts that add up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, checked, expected_value, guard
from ._data import as_data


@checked(widen=True)
def mpo_weights(q: Float[Array, "samples *batch"], temperature: RealScalarLike) -> Float[Array, "samples *batch"]:
    r"""The improved policy of the E-step, as weights of sampled actions.

    $$w_j = \frac{e^{Q(s, a_j)/\eta}}{\sum_k e^{Q(s, a_k)/\eta}}, \qquad a_j \sim \pi_{old}(\cdot|s)$$

    Sequential Monte Carlo policy optimisation (SPO) weighs its particles in the same way, by the sum of the
    temporal-difference errors along each one's path in place of $Q$.

    Args:
        q: $Q(s, a_j)$ of the sampled actions, sample axis first; −∞ gives weight zero.
        temperature: $\eta > 0$, in the units of the value.

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
    temperature = guard(temperature, lambda x: x > 0, "mpo_weights: temperature must be positive")
    scaled = at_least_float32(jax.lax.stop_gradient(q))
    scaled = scaled - jnp.max(scaled, axis=0, keepdims=True)
    return jax.nn.softmax(scaled / as_data(temperature, scaled), axis=0).astype(q.dtype)


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
        temperature: $\eta > 0$, in the units of the value; the only way the gradient takes.
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
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, equation 9.
    """
    data = at_least_float32(jax.lax.stop_gradient(q))
    temperature = guard(temperature, lambda x: x > 0, "mpo_temperature_loss: temperature must be positive")
    epsilon = as_data(guard(epsilon, lambda x: x > 0, "mpo_temperature_loss: epsilon must be positive"), data)
    temperature = jnp.asarray(temperature, data.dtype)
    largest = jnp.max(data, axis=0)
    log_mean = jnp.log(jnp.mean(jnp.exp((data - largest[None]) / temperature), axis=0))
    return (temperature * (epsilon + log_mean) + largest).astype(q.dtype)


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
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, equation 11.
    """
    weights = as_data(weights, log_prob)
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
    `mpo_temperature_loss`.

    Args:
        kl: $d$, the divergence of the learner from the old policy, in nats. With the action's dimensions as its last
            axis, each is bounded by itself: give a multiplier a dimension, and sum the result over them.
        multiplier: $\alpha \ge 0$, one for all, or an array that broadcasts to `kl`.
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
        Abdolmaleki et al., *Maximum a Posteriori Policy Optimisation*, 2018, arXiv:1806.06920, equation 12, and
        *Relative Entropy Regularized Policy Iteration*, 2018, arXiv:1812.02256.
    """
    multiplier = guard(multiplier, lambda x: x >= 0, "kl_penalty_loss: multiplier must not be negative")
    epsilon = as_data(guard(epsilon, lambda x: x > 0, "kl_penalty_loss: epsilon must be positive"), kl)
    multiplier = jnp.broadcast_to(jnp.asarray(multiplier, kl.dtype), kl.shape)
    return jax.lax.stop_gradient(multiplier) * kl + multiplier * (epsilon - jax.lax.stop_gradient(kl))
