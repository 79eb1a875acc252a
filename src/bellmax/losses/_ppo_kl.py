"""Proximal policy optimisation with a penalty, and estimates of that penalty."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32, bounded_log_ratio, checked, ratio_of
from ._knobs import not_negative, positive


@checked(widen=True)
def ppo_kl_loss(
    log_ratio: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    kl: Float[Array, "*batch"],
    *,
    beta: RealScalarLike,
) -> Float[Array, "*batch"]:
    r"""The surrogate of proximal policy optimisation with a divergence penalty in place of the clip.

    $$L = -\rho A + \beta\, \text{KL}(\mu(\cdot|s) \,\|\, \pi(\cdot|s)), \qquad
      \rho = \exp\left(\log \pi(a|s) - \log \mu(a|s)\right)$$

    Args:
        log_ratio: $\log \pi(a|s) - \log \mu(a|s)$ in nats, clipped at ±40.
        advantage: $A$, in any unit; its gradient is stopped.
        kl: The divergence of the learner from the behaviour in nats, exact (such as `categorical_kl(behaviour,
            learner)`) or estimated (`approximate_kl(log_ratio)`); a gradient flows through it.
        beta: $\beta \ge 0$, see `adapt_kl_coefficient`.

    Returns:
        The loss of each example.

    Raises:
        ValueError: If β is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> ppo_kl_loss(jnp.zeros(2), jnp.array([1.0, -1.0]), jnp.array([0.0, 0.5]), beta=2.0).tolist()
        [-1.0, 2.0]

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347, equation 8.
    """
    beta = not_negative(beta, log_ratio, "ppo_kl_loss: beta")
    return beta * kl - ratio_of(log_ratio) * jax.lax.stop_gradient(advantage)


@checked(widen=True)
def adapt_kl_coefficient(
    beta: Float[Array, "*batch"], kl: Float[Array, "*batch"], target: RealScalarLike
) -> Float[Array, "*batch"]:
    r"""Doubles a penalty that proved too weak and halves one that proved too strong.

    $$\beta \leftarrow \begin{cases} 2\beta & d > 1.5\, d_{target} \\ \beta / 2 & d < d_{target} / 1.5 \\
      \beta & \text{otherwise} \end{cases}$$

    Args:
        beta: $\beta$, the coefficient of the last update.
        kl: $d$, the mean divergence that the update caused, in nats; across devices, average it first. NaN gives NaN.
        target: $d_{target} > 0$, in nats.

    Returns:
        The coefficient of the next update; no gradient flows through it.

    Raises:
        ValueError: If the target is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> adapt_kl_coefficient(jnp.ones(3), jnp.array([0.005, 0.01, 0.02]), 0.01).tolist()
        [0.5, 1.0, 2.0]

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347, section 4.
    """
    target = positive(target, kl, "adapt_kl_coefficient: target")
    factor = jnp.where(kl > 1.5 * target, 2, jnp.where(kl < target / 1.5, 0.5, 1))
    factor = jnp.where(jnp.isnan(kl), jnp.nan, factor)
    return jax.lax.stop_gradient(beta * factor)


@checked
def approximate_kl(log_ratio: Float[Array, "*batch"], *, estimator: str = "k3") -> Float[Array, "*batch"]:
    r"""Estimates the divergence of a policy from the one that chose the actions.

    $$k_1 = -\ell, \qquad k_2 = \tfrac{1}{2}\ell^2, \qquad k_3 = e^{\ell} - 1 - \ell, \qquad
      \ell = \log \pi(a|s) - \log \mu(a|s)$$

    With actions from μ the mean of $k_1$ and of $k_3$ is $\text{KL}(\mu \,\|\, \pi)$, and so are the means of their
    gradients; $k_3$ is never negative and varies less. $k_2$ is biased, by little where the policies are close.

    For a penalty towards a reference policy out of the learner's own actions, turn the ratio around: $\ell = \log
    \pi_{ref}(a|s) - \log \pi(a|s)$. The means of $k_1$ and $k_3$ are then $\text{KL}(\pi \,\|\, \pi_{ref})$, but as
    the actions themselves depend on π, of the gradients only that of $k_2$ is on average the gradient of this
    divergence; that of $k_3$ is the gradient of $\text{KL}(\pi_{ref} \,\|\, \pi)$, and that of $k_1$ is zero.

    Args:
        log_ratio: $\ell$ in nats, clipped at ±40, beyond which the gradient is zero.
        estimator: `"k1"`, `"k2"` or `"k3"`.

    Returns:
        The estimate from each action in nats, in float32 or wider. Differentiable.

    Raises:
        ValueError: If the estimator is none of the three.
        jaxtyping.TypeCheckError: If the log-ratio is not floating point.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(approximate_kl(jnp.log(2.0), estimator=name).item(), 4) for name in ("k1", "k2", "k3")]
        [-0.6931, 0.2402, 0.3069]

    References:
        Schulman, *Approximating KL Divergence*, 2020, http://joschu.net/blog/kl-approx.html.
    """
    bounded = bounded_log_ratio(at_least_float32(log_ratio))
    if estimator == "k1":
        return -bounded
    if estimator == "k2":
        return 0.5 * jnp.square(bounded)
    if estimator == "k3":
        return jnp.expm1(bounded) - bounded
    raise ValueError(f'approximate_kl: estimator must be "k1", "k2" or "k3"; got {estimator!r}')
