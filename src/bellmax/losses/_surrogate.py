"""Surrogates of the policy's improvement without a hard clip of the gradient."""

import jax
import jax.numpy as jnp
from jax.nn import relu
from jaxtyping import Array, Float

from .._core import RealScalarLike, bounded_log_ratio, checked, multiply_no_nan, truncated_ratio
from ._knobs import positive


@checked(widen=True)
def discovered_policy_loss(
    log_ratio: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    alpha: RealScalarLike = 2.0,
    beta: RealScalarLike = 0.6,
) -> Float[Array, "*batch"]:
    r"""The surrogate of discovered policy optimisation: a smooth drift where PPO clips.

    $$L = -(\rho A - D), \qquad D = \begin{cases}
      \text{relu}\left(z - \alpha \tanh(z/\alpha)\right),\ z = (\rho - 1)A & A \ge 0 \\
      \text{relu}\left(z - \beta \tanh(z/\beta)\right),\ z = A \log \rho & A < 0 \end{cases}$$

    Args:
        log_ratio: $\log \rho = \log \pi(a|s) - \log \mu(a|s)$ in nats, clipped at ±40.
        advantage: $A$, usually standardised, since the drift depends on its scale; its gradient is stopped.
        alpha: $\alpha > 0$, how far good actions may gain.
        beta: $\beta > 0$, how far bad actions may lose.

    Returns:
        The loss of each example.

    Raises:
        ValueError: If α or β is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = discovered_policy_loss(jnp.log(jnp.array([1.0, 3.0, 0.5])), jnp.array([1.0, 1.0, -1.0]))
        >>> [round(each, 4) for each in loss.tolist()]
        [-1.0, -2.5232, 0.7015]

    References:
        Lu et al., *Discovered Policy Optimisation*, 2022, arXiv:2210.05639.
    """
    alpha = positive(alpha, log_ratio, "discovered_policy_loss: alpha")
    beta = positive(beta, log_ratio, "discovered_policy_loss: beta")
    advantage = jax.lax.stop_gradient(advantage)
    bounded = bounded_log_ratio(log_ratio)
    gain, loss = jnp.expm1(bounded) * advantage, bounded * advantage
    drift = jnp.where(
        advantage >= 0, relu(gain - alpha * jnp.tanh(gain / alpha)), relu(loss - beta * jnp.tanh(loss / beta))
    )
    return drift - gain - advantage


@checked(widen=True)
def simple_policy_loss(
    log_ratio: Float[Array, "*batch"], advantage: Float[Array, "*batch"], *, epsilon: RealScalarLike = 0.2
) -> Float[Array, "*batch"]:
    r"""The surrogate of simple policy optimisation: a parabola whose best ratio is PPO's bound.

    $$L = -\left(\rho A - \frac{|A|}{2\epsilon}(\rho - 1)^2\right)$$

    Its minimum over the ratio lies at $1 + \epsilon$ where the advantage is positive and at $1 - \epsilon$ where it is
    negative; a ratio outside is pulled back.

    Args:
        log_ratio: $\log \rho = \log \pi(a|s) - \log \mu(a|s)$ in nats, clipped at ±20, since the ratio is
            squared.
        advantage: $A$, in any unit; its gradient is stopped.
        epsilon: $\epsilon > 0$, how far the ratio should move.

    Returns:
        The loss of each example.

    Raises:
        ValueError: If ε is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = simple_policy_loss(jnp.log(jnp.array([1.0, 1.2, 2.0])), jnp.ones(3))
        >>> [round(each, 4) for each in loss.tolist()]
        [-1.0, -1.1, 0.5]

    References:
        Xie et al., *Simple Policy Optimization*, 2024, arXiv:2401.16025.
    """
    epsilon = positive(epsilon, log_ratio, "simple_policy_loss: epsilon")
    advantage = jax.lax.stop_gradient(advantage)
    gap = jnp.expm1(bounded_log_ratio(log_ratio, power=2))
    return jnp.abs(advantage) * jnp.square(gap) / (2 * epsilon) - (1 + gap) * advantage


@checked(widen=True)
def cispo_loss(
    log_prob: Float[Array, "*batch"],
    log_ratio: Float[Array, "*batch"],
    advantage: Float[Array, "*batch"],
    *,
    epsilon: RealScalarLike | None = None,
    epsilon_high: RealScalarLike,
) -> Float[Array, "*batch"]:
    r"""The score-function objective with a clipped importance weight.

    $$L = -\text{clip}\left(\text{sg}(\rho), 1 - \epsilon, 1 + \epsilon_{high}\right) A \log \pi(a|s)$$

    The weight is data: the clip bounds how much an action counts, and never silences it as PPO's does. What a weight
    of zero multiplies is erased.

    Args:
        log_prob: $\log \pi(a|s)$ of the action taken, in nats; the only way the gradient takes.
        log_ratio: $\log \rho = \log \pi(a|s) - \log \mu(a|s)$ in nats; its gradient is stopped.
        advantage: $A$, in any unit; its gradient is stopped.
        epsilon: $\epsilon > 0$, how far the weight may fall; None means no lower bound, as in the paper's runs.
        epsilon_high: $\epsilon_{high} > 0$, how far it may rise.

    Returns:
        The loss of each example. Only its gradient has a meaning.

    Raises:
        ValueError: If ε or $\epsilon_{high}$ is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> log_ratio = jnp.log(jnp.array([0.5, 1.0, 9.0]))
        >>> loss = cispo_loss(-jnp.ones(3), log_ratio, jnp.ones(3), epsilon_high=1.0)
        >>> [round(each, 4) for each in loss.tolist()]
        [0.5, 1.0, 2.0]

    References:
        MiniMax, *MiniMax-M1: Scaling Test-Time Compute Efficiently with Lightning Attention*, 2025, arXiv:2506.13585,
        section 3.1.
    """
    high = positive(epsilon_high, log_prob, "cispo_loss: epsilon_high")
    weight = truncated_ratio(jax.lax.stop_gradient(log_ratio), 1 + high)
    if epsilon is not None:
        weight = jnp.maximum(weight, 1 - positive(epsilon, log_prob, "cispo_loss: epsilon"))
    return multiply_no_nan(log_prob, -weight * jax.lax.stop_gradient(advantage))
