"""On-policy maximum a posteriori policy optimisation."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._core import RealScalarLike, checked, guard, masked_mean, psum
from ._knobs import positive
from ._weights import exponential_weights, temperature_dual


class VMPOLoss(eqx.Module):
    """What `vmpo_loss` returns; add up what should be minimised together.

    Attributes:
        policy: Loss of the policy.
        temperature: Loss of the temperature.
    """

    policy: Float[Array, ""]
    temperature: Float[Array, ""]


@checked(widen=True)
def vmpo_loss(
    log_prob: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    temperature: RealScalarLike,
    *,
    epsilon: RealScalarLike,
    top_fraction: RealScalarLike = 0.5,
    mask: Bool[Array, "*batch"] | Float[Array, "*batch"] | None = None,
    axis_name: str | None = None,
) -> VMPOLoss:
    r"""Imitates the better part of a batch, weighted by advantage, and adapts the temperature of the weights.

    $$L_\pi = -\sum_{i \in D} \psi_i \log \pi(a_i|s_i), \quad
      \psi_i = \frac{e^{A_i/\eta}}{\sum_{j \in D} e^{A_j/\eta}}, \quad
      L_\eta = \eta \left(\epsilon + \log \frac{1}{|D|} \sum_{i \in D} e^{A_i/\eta}\right)$$

    $D$ are the examples with the largest advantages among those that the mask keeps, on all devices together: a
    fraction of them rounded down, at least one, and all that tie with the last. The `pmean` of both losses, and of
    their gradients, is that of the whole batch. Add `kl_penalty_loss` for the bound on the policy, and keep the
    temperature positive by a softplus, as in `mpo_temperature_loss`.

    Args:
        log_prob: $\log \pi(a|s)$ of the action taken, in nats.
        advantage: $A$; its gradient is stopped.
        temperature: $\eta > 0$, in the units of the advantage; learns through its own loss alone. Below 1e-15 it counts
            as that, and the slope stays alive.
        epsilon: $\epsilon > 0$, the divergence of the weights in nats.
        top_fraction: Fraction in (0, 1] of the examples that count.
        mask: Which examples count, or how much; None means all. What it drops may be infinite or NaN.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        Both losses, of the batch; zero if the mask keeps nothing.

    Raises:
        ValueError: If the temperature, ε or the fraction is known and outside its range.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> advantage = jnp.log(jnp.array([1.0, 3.0, 0.5, 0.5]))
        >>> loss = vmpo_loss(-jnp.arange(4.0), advantage, 1.0, epsilon=0.25)
        >>> round(loss.policy.item(), 4), round(loss.temperature.item(), 4)
        (0.75, 0.9431)

    References:
        Song et al., *V-MPO: On-Policy Maximum a Posteriori Policy Optimization for Discrete and Continuous Control*,
        2019, arXiv:1909.12238.
    """
    temperature = positive(temperature, advantage, "vmpo_loss: temperature")
    epsilon = positive(epsilon, advantage, "vmpo_loss: epsilon")
    fraction = guard(top_fraction, lambda x: (x > 0) & (x <= 1), "vmpo_loss: top_fraction must be in (0, 1]")
    data = jax.lax.stop_gradient(advantage)
    mask = jnp.ones_like(data) if mask is None else jax.lax.stop_gradient(mask).astype(data.dtype)
    best = _is_best(data, mask != 0, jnp.asarray(fraction, data.dtype), axis_name)
    found = exponential_weights(data, temperature, mask=jnp.where(best, mask, 0), axis_name=axis_name)
    nothing = psum(jnp.sum(best), axis_name) == 0
    dual = jnp.where(nothing, 0, temperature_dual(found, temperature, epsilon))
    return VMPOLoss(-masked_mean(log_prob, found.weights, axis_name), dual)


def _is_best(advantage, valid, fraction, axis_name):
    """Tells the largest among the valid examples of all devices; NaN counts, so that it is seen."""
    ranked = jnp.where(valid, advantage, -jnp.inf)
    everyone = ranked if axis_name is None else jax.lax.all_gather(ranked, axis_name)
    descending = -jnp.sort(-jnp.ravel(everyone))
    count = psum(jnp.sum(valid), axis_name).astype(advantage.dtype)
    nudge = 1 + 4 * jnp.finfo(advantage.dtype).eps
    last = jnp.maximum(jnp.floor(fraction * count * nudge).astype(int), 1) - 1
    return valid & ~(ranked < descending[last])
