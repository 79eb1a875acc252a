"""Losses of values that are categorical distributions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, ValueTransform, checked, inverted
from ..distributional import categorical_mean, categorical_projection, hl_gauss, two_hot
from ._bootstrap import one_step_target
from ._cross_entropy import cross_entropy_loss
from ._distributional import take_distribution, take_greedy, widen


@checked
def categorical_td_loss(
    logits: Float[Array, "*batch atoms"],
    support: Float[Array, " atoms"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_logits: Float[Array, "*batch atoms"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""Makes the distribution of a value like that of its target, projected onto the same support.

    $$L = -\sum_j p'_j \log \mathrm{softmax}(x)_j, \qquad
    p' = \Pi\Big\{\big(R + \gamma z_i,\ \mathrm{softmax}(x')_i\big)\Big\}$$

    with the projection Π of `categorical_projection`. A transform $f$ moves the atoms as $f(R + \gamma f^{-1}(z_i))$.
    A zero discount erases the next distribution, whatever it is. With the reward of n steps and their discount
    $\gamma^n$ this is the critic's loss of D4PG. For a next distribution over other atoms, project it with
    `categorical_projection` and hand it to `cross_entropy_loss`.

    Args:
        logits: $x$, the prediction for S, or for S and A.
        support: $z$, the atoms, strictly increasing, at least two; in transformed units if there is a transform.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_logits: $x'$ of the true successor, usually from the target network; its gradient is stopped.
        transform: $f$ and its inverse; None for the identity.

    Returns:
        The loss of each example in nats, float32 or wider.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> logits, support = jnp.log(jnp.array([0.25, 0.25, 0.5])), jnp.array([0.0, 1.0, 2.0])
        >>> round(float(categorical_td_loss(logits, support, 1.5, 0.0, logits)), 4)  # -(ln 1/4 + ln 1/2) / 2
        1.0397

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887,
        equation 7. Barth-Maron et al., *Distributed Distributional Deterministic Policy Gradients*, 2018,
        arXiv:1804.08617.
    """
    return cross_entropy_loss(logits, _projected_target(support, reward, discount, next_logits, transform))


@checked
def categorical_q_learning_loss(
    logits: Float[Array, "*batch actions atoms"],
    support: Float[Array, " atoms"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_logits: Float[Array, "*batch actions atoms"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The loss of C51: Q-learning with categorical distributions.

    $$L = -\sum_j p'_j \log \mathrm{softmax}(x_A)_j, \qquad
    p' = \Pi\Big\{\big(R + \gamma z_i,\ \mathrm{softmax}(x'_{a^*})_i\big)\Big\}, \qquad
    a^* = \arg\max_a \sum_i \mathrm{softmax}(x'_a)_i\, z_i$$

    With a transform $f$ the atoms move as $f(R + \gamma f^{-1}(z_i))$, and actions are compared by the mean of
    $f^{-1}(z)$, in the units of the environment. A zero discount erases the next distribution, whatever it is. Where
    next actions are masked, use the double loss with −∞ in its selector.

    Args:
        logits: $x$, the prediction for S and every action.
        support: $z$, the atoms, strictly increasing, at least two; in transformed units if there is a transform.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated.
        next_logits: $x'$ of the true successor, usually from the target network; its gradient is stopped.
        transform: $f$ and its inverse; None for the identity.

    Returns:
        The loss of each example in nats, float32 or wider.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> logits, support = jnp.zeros((2, 3)), jnp.array([0.0, 1.0, 2.0])
        >>> round(float(categorical_q_learning_loss(logits, support, 0, 1.0, 0.5, logits)), 4)  # ln 3
        1.0986

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887,
        algorithm 1.
    """
    support, next_logits = widen(support, next_logits)
    next_q = categorical_mean(jax.nn.softmax(next_logits), inverted(support, transform))
    target = _projected_target(support, reward, discount, take_greedy(next_logits, next_q), transform)
    return cross_entropy_loss(take_distribution(logits, action), target)


@checked
def categorical_double_q_learning_loss(
    logits: Float[Array, "*batch actions atoms"],
    support: Float[Array, " atoms"],
    action: Integer[Array, "*batch"],
    reward: Float[Array, "*batch"],
    discount: Float[Array, "*batch"],
    next_logits: Float[Array, "*batch actions atoms"],
    next_q_selector: Float[Array, "*batch actions"],
    *,
    transform: ValueTransform | None = None,
) -> Float[Array, "*batch"]:
    r"""The loss of C51 whose next action another network chooses.

    $$L = -\sum_j p'_j \log \mathrm{softmax}(x_A)_j, \qquad
    p' = \Pi\Big\{\big(R + \gamma z_i,\ \mathrm{softmax}(x'_{a^*})_i\big)\Big\}, \qquad
    a^* = \arg\max_a Q_{selector}(S', a)$$

    Args:
        logits: $x$, the prediction for S and every action.
        support: $z$, the atoms, strictly increasing, at least two; in transformed units if there is a transform.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.
        reward: $R$, in the units of the environment.
        discount: $\gamma \in [0, 1]$; 0 where the episode terminated: it erases the next distribution.
        next_logits: $x'$ that evaluates: the target network's; its gradient is stopped.
        next_q_selector: $Q_{selector}(S', \cdot)$ that selects, −∞ for masked actions: the online network's means
            in the units of the environment, `categorical_mean(probs, support)`.
        transform: $f$ and its inverse, which move the atoms as $f(R + \gamma f^{-1}(z_i))$; None for the identity.

    Returns:
        The loss of each example in nats, float32 or wider.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> logits, support = jnp.zeros((2, 3)), jnp.array([0.0, 1.0, 2.0])
        >>> loss = categorical_double_q_learning_loss(logits, support, 0, 1.0, 0.5, logits, jnp.array([1.0, -jnp.inf]))
        >>> round(float(loss), 4)  # ln 3
        1.0986

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887.
        Hessel et al., *Rainbow: Combining Improvements in Deep Reinforcement Learning*, 2017, arXiv:1710.02298.
    """
    target = _projected_target(support, reward, discount, take_greedy(next_logits, next_q_selector), transform)
    return cross_entropy_loss(take_distribution(logits, action), target)


@checked
def two_hot_loss(
    logits: Float[Array, "*batch atoms"], support: Float[Array, " atoms"], target: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Regresses a number by classification, with `two_hot` labels.

    $$L = -\sum_i \mathrm{two\_hot}(y, z)_i \log \mathrm{softmax}(x)_i$$

    Args:
        logits: $x$, the prediction.
        support: $z$, the atoms, strictly increasing, at least two.
        target: $y$, in the units of the support, outside of which it counts as the nearer end; its gradient is
            stopped.

    Returns:
        The loss of each example in nats, float32 or wider.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(two_hot_loss(jnp.zeros(4), jnp.arange(4.0), 0.5)), 4)  # ln 4
        1.3863

    References:
        Schrittwieser et al., *Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model*, 2019,
        arXiv:1911.08265, appendix F. Hafner et al., *Mastering Diverse Domains through World Models*, 2023,
        arXiv:2301.04104.
    """
    logits, support, target = widen(logits, support, target)
    return cross_entropy_loss(logits, two_hot(target, support))


@checked
def hl_gauss_loss(
    logits: Float[Array, "*batch atoms"],
    support: Float[Array, " atoms"],
    target: Float[Array, "*batch"],
    *,
    sigma: RealScalarLike = 0.75,
) -> Float[Array, "*batch"]:
    r"""Regresses a number by classification, with `hl_gauss` labels.

    $$L = -\sum_i \mathrm{hl\_gauss}(y, z, \sigma)_i \log \mathrm{softmax}(x)_i$$

    Args:
        logits: $x$, the prediction.
        support: $z$, the centres of the bins, strictly increasing, at least two.
        target: $y$, in the units of the support, outside of which it counts as the nearer end; its gradient is
            stopped.
        sigma: $\sigma$, the standard deviation of the label in bins; above 0.

    Returns:
        The loss of each example in nats, float32 or wider.

    Raises:
        ValueError: If sigma is not above 0, or the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(hl_gauss_loss(jnp.zeros(4), jnp.arange(4.0), 0.5)), 4)  # ln 4
        1.3863

    References:
        Farebrother et al., *Stop Regressing: Training Value Functions via Classification for Scalable Deep RL*, 2024,
        arXiv:2403.03950, section 3.1.
    """
    logits, support, target = widen(logits, support, target)
    return cross_entropy_loss(logits, hl_gauss(target, support, sigma=sigma))


def _projected_target(support, reward, discount, next_logits, transform):
    """Probabilities of the target over the same atoms."""
    support, reward, discount, next_logits = widen(support, reward, discount, next_logits)
    values = jnp.broadcast_to(inverted(support, transform), next_logits.shape)
    moved = one_step_target(reward[..., None], discount[..., None], values, transform)
    # Without a next value all atoms stand on the reward, and any distribution over them will do.
    known = jnp.where(discount[..., None] == 0, 0, next_logits)
    return categorical_projection(moved, jax.nn.softmax(known), support)
