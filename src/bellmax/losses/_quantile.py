"""Losses of values that are quantiles."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, ValueTransform, checked, guard, inverted
from ._bootstrap import one_step_target
from ._distributional import take_distribution, take_greedy


@checked(widen=True)
def quantile_huber_loss(
    quantiles: Float[Array, "*batch quantiles"],
    fractions: Float[Array, " quantiles"] | Float[Array, "*batch quantiles"],
    targets: Float[Array, "*batch targets"],
    *,
    kappa: RealScalarLike = 1.0,
) -> Float[Array, "*batch"]:
    r"""Moves quantiles to where samples of the target say: quantile regression, rounded near zero.

    $$L = \sum_i \frac{1}{m} \sum_j |\tau_i - \mathbb{1}\{u_{ij} < 0\}|\, \frac{L_\kappa(u_{ij})}{\kappa},
    \qquad u_{ij} = y_j - q_i$$

    with the Huber loss $L_\kappa(u) = \tfrac12 u^2$ for $|u| \le \kappa$, else $\kappa(|u| - \tfrac12 \kappa)$. At
    $\kappa = 0$, $L_\kappa(u)/\kappa$ is $|u|$ and the loss is plain quantile regression.

    Elsewhere the same loss is found with other constants: without $1/\kappa$ (rlax), as a mean over quantiles (the
    truncated critics of Stable Baselines3), or as a sum over targets and a mean over quantiles (coax).

    Args:
        quantiles: $q_i$, the prediction at each fraction.
        fractions: $\tau_i \in [0, 1]$, shared by all examples or each example's own; its gradient is stopped.
        targets: $y_j$, samples or quantiles of the target, each as likely as the others, in the units of the
            quantiles; its gradient is stopped. For TQC, `pool_quantiles` of the next critics, discounted.
        kappa: $\kappa \ge 0$, where the loss turns from quadratic to linear.

    Returns:
        The loss of each example, in the units of the quantiles.

    Raises:
        ValueError: If kappa is negative, or a fraction is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> quantile_huber_loss(jnp.array([0.0, 4.0]), jnp.array([0.25, 0.75]), jnp.array([3.0]), kappa=0.0).tolist()
        1.0

    References:
        Dabney et al., *Implicit Quantile Networks for Distributional Reinforcement Learning*, 2018, arXiv:1806.06923,
        equations 2 and 3. Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017,
        arXiv:1710.10044, equation 10.
    """
    return _regression("quantile_huber_loss", quantiles, fractions, targets, kappa)


@checked(widen=True)
def quantile_q_learning_loss(
    quantiles: Float[Array, "*batch actions quantiles"],
    fractions: Float[Array, " quantiles"] | Float[Array, "*batch quantiles"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_quantiles: Float[Array, "*batch actions targets"],
    next_q_selector: Float[Array, "*batch actions"] | None = None,
    *,
    kappa: RealScalarLike = 1.0,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The loss of QR-DQN and IQN: Q-learning with quantiles.

    $$L = \mathrm{quantile\_huber}\big(q_A,\ \tau,\ R + \gamma\, q'_{a^*}\big), \qquad
    a^* = \arg\max_a \frac1m \sum_j q'_{aj}$$

    or $a^* = \arg\max_a Q_{selector}(S', a)$. A zero discount erases the next quantiles, whatever they are. With a
    transform $f$ the targets are $f(R + \gamma f^{-1}(q'))$, and actions are compared by the mean of $f^{-1}(q')$.

    Args:
        quantiles: $q$, the prediction for S and every action.
        fractions: $\tau_i \in [0, 1]$ of the prediction, shared by all examples or each example's own.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_quantiles: $q'$ of the true successor at fractions of equal weight, not necessarily as many, usually from
            the target network; its gradient is stopped.
        next_q_selector: Values that choose the next action, −∞ for masked ones, in the units of the environment: of
            the online network for double learning, or weighted as in FQF. None for the mean of `next_quantiles`.
        kappa: $\kappa \ge 0$, where the loss turns from quadratic to linear; 0 for quantile regression.
        transform: $f$ and its inverse; None for the identity.

    Returns:
        The loss of each example, in the units of the quantiles.

    Raises:
        ValueError: If kappa is negative, or a fraction is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q, tau = jnp.zeros((2, 2)), jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.25, 0.75])
        >>> quantile_q_learning_loss(q, tau, 0, 1.0, 0.5, next_q, kappa=0.0).tolist()
        2.75

    References:
        Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017, arXiv:1710.10044,
        algorithm 1. Dabney et al., *Implicit Quantile Networks for Distributional Reinforcement Learning*, 2018,
        arXiv:1806.06923, equations 2 and 3.
    """
    values = inverted(next_quantiles, transform)
    greedy = take_greedy(values, jnp.mean(values, axis=-1) if next_q_selector is None else next_q_selector)
    targets = one_step_target(reward[..., None], discount[..., None], greedy, transform)
    chosen = take_distribution(quantiles, action)
    return _regression("quantile_q_learning_loss", chosen, fractions, targets, kappa)


@checked(widen=True)
def quantile_expected_sarsa_loss(
    quantiles: Float[Array, "*batch actions quantiles"],
    fractions: Float[Array, " quantiles"] | Float[Array, "*batch quantiles"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_quantiles: Float[Array, "*batch actions targets"],
    next_probs: Float[Array, "*batch actions"],
    *,
    kappa: RealScalarLike = 1.0,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The loss of expected SARSA with quantiles: the target is the mixture over the next policy's actions.

    $$L = \sum_a \pi(a|S')\ \mathrm{quantile\_huber}\big(q_A,\ \tau,\ R + \gamma\, q'_a\big)$$

    The loss is linear in the distribution of its targets, so this average over actions is the loss against the mixture
    in which $R + \gamma q'_{aj}$ has weight $\pi(a|S')/m$. An action without probability, and a zero discount, erase
    what they multiply. With a transform $f$ the targets are $f(R + \gamma f^{-1}(q'))$.

    Args:
        quantiles: $q$, the prediction for S and every action.
        fractions: $\tau_i \in [0, 1]$ of the prediction, shared by all examples or each example's own.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_quantiles: $q'$ of the true successor at fractions of equal weight, not necessarily as many, usually from
            the target network; its gradient is stopped.
        next_probs: $\pi(\cdot|S')$; its gradient is stopped.
        kappa: $\kappa \ge 0$, where the loss turns from quadratic to linear; 0 for quantile regression.
        transform: $f$ and its inverse; None for the identity.

    Returns:
        The loss of each example, in the units of the quantiles.

    Raises:
        ValueError: If kappa is negative, or a fraction is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> q, next_q, tau = jnp.zeros((2, 2)), jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([0.25, 0.75])
        >>> quantile_expected_sarsa_loss(q, tau, 0, 1.0, 0.5, next_q, jnp.array([0.5, 0.5]), kappa=0.0).tolist()
        2.25

    References:
        Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017, arXiv:1710.10044.
        Van Seijen et al., *A Theoretical and Empirical Analysis of Expected Sarsa*, 2009.
    """
    weights = jnp.broadcast_to(jax.lax.stop_gradient(next_probs)[..., None], next_quantiles.shape)
    # What has no weight may be infinite, and would be so in its cost.
    values = jnp.where(weights == 0, 0, inverted(next_quantiles, transform))
    values, weights = (x.reshape(*reward.shape, x.shape[-2] * x.shape[-1]) for x in (values, weights))
    targets = one_step_target(reward[..., None], discount[..., None], values, transform)
    weights = weights / next_quantiles.shape[-1]
    chosen = take_distribution(quantiles, action)
    return _regression("quantile_expected_sarsa_loss", chosen, fractions, targets, kappa, weights)


@checked(widen=True)
def fqf_fraction_loss(
    fractions: Float[Array, "*batch inner"],
    quantiles_at_fractions: Float[Array, "*batch inner"],
    quantiles_at_midpoints: Float[Array, "*batch inner+1"],
) -> Float[Array, "*batch"]:
    r"""Moves the fractions of FQF to where equal steps come closest to the quantile function.

    $$L = \sum_{i=1}^{n-1} \tau_i\, \big[2 F^{-1}(\tau_i) - F^{-1}(\hat\tau_i) - F^{-1}(\hat\tau_{i-1})\big]$$

    The bracket is data: it is the derivative of the 1-Wasserstein distance between the quantile function and its steps,
    so the gradient is right, while the value is not that distance. Of `quantile_fractions` this takes
    `edges[..., 1:-1]`; the outer edges do not move. Its entropy, weighted, is subtracted by the caller.

    Args:
        fractions: $\tau_1 \dots \tau_{n-1}$, the inner edges: the prediction.
        quantiles_at_fractions: $F^{-1}(\tau_i)$ there; its gradient is stopped.
        quantiles_at_midpoints: $F^{-1}(\hat\tau_0) \dots F^{-1}(\hat\tau_{n-1})$; its gradient is stopped.

    Returns:
        A number for each example whose gradient in the fractions is the bracket.

    Raises:
        ValueError: If a fraction is known and outside [0, 1].
        jaxtyping.TypeCheckError: If there is not one midpoint more than there are inner edges.

    Example:
        >>> import jax.numpy as jnp
        >>> fqf_fraction_loss(jnp.array([0.5]), jnp.array([1.0]), jnp.array([0.0, 4.0])).tolist()
        -1.0

    References:
        Yang et al., *Fully Parameterized Quantile Function for Distributional Reinforcement Learning*, 2019,
        arXiv:1911.02140, proposition 1.
    """
    fractions = _inside("fqf_fraction_loss", fractions)
    middle = quantiles_at_midpoints
    slope = 2 * quantiles_at_fractions - middle[..., 1:] - middle[..., :-1]
    return jnp.sum(fractions * jax.lax.stop_gradient(slope), axis=-1)


def _regression(function, quantiles, fractions, targets, kappa, weights=None):
    """The loss of quantiles against targets, which are equally likely if they have no weights."""
    kappa = guard(kappa, lambda kappa: kappa >= 0, f"{function}: kappa must be at least 0")
    fractions, targets = jax.lax.stop_gradient((_inside(function, fractions), targets))
    kappa = jnp.asarray(kappa, quantiles.dtype)

    error = targets[..., None, :] - quantiles[..., :, None]
    distance = jnp.abs(error)
    is_near = distance <= kappa
    squared = 0.5 * jnp.square(jnp.where(is_near, error, 0)) / jnp.where(kappa > 0, kappa, 1)
    huber = jnp.where(is_near, squared, distance - 0.5 * kappa)
    fractions = jnp.broadcast_to(fractions, quantiles.shape)[..., None]
    tilt = jnp.abs(fractions - (error < 0).astype(fractions.dtype))
    # The slope of an absolute value is finite where the value is NaN: that must not pass for a gradient.
    costs = jnp.where(jnp.isnan(error), jnp.nan, tilt) * huber
    if weights is None:
        return jnp.sum(jnp.mean(costs, axis=-1), axis=-1)
    return jnp.sum(costs * weights[..., None, :], axis=(-2, -1))


def _inside(function, fractions):
    """Refuses fractions outside [0, 1]; a NaN goes on, and stays visible."""
    return guard(fractions, lambda x: ~((x < 0) | (x > 1)), f"{function}: fractions must lie in [0, 1]")
