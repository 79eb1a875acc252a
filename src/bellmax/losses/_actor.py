"""Actors that follow a critic, and the temperature that keeps them random."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, expected_value, multiply_no_nan
from ._kl import entropy_loss
from ._knobs import not_negative, positive, spread


@checked(widen=True)
def dpg_loss(
    action: Float[Array, "*batch action_dim"],
    dq_daction: Float[Array, "*batch action_dim"],
    *,
    clip: RealScalarLike | None = None,
) -> Float[Array, "*batch"]:
    r"""The deterministic policy gradient, out of the critic's slope.

    $$L = \tfrac{1}{2} \left\| \text{sg}(a + g) - a \right\|^2, \qquad g = \nabla_a Q(s, a), \qquad
      \nabla_a L = -g$$

    Args:
        action: $a = \pi(s)$, in the units of the action.
        dq_daction: $g$, in those of the value per action; its gradient is stopped.
        clip: Largest Euclidean norm of $g$ in an example; longer ones are scaled down. None means none.

    Returns:
        The loss of each example, half the squared length of $g$, summed over dimensions.

    Raises:
        ValueError: If the clip is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> action, slope = jnp.zeros(2), jnp.array([3.0, 4.0])
        >>> dpg_loss(action, slope).item(), dpg_loss(action, slope, clip=1.0).item()
        (12.5, 0.5)

    References:
        Silver et al., *Deterministic Policy Gradient Algorithms*, 2014. Lillicrap et al., *Continuous Control with Deep
        Reinforcement Learning*, 2015, arXiv:1509.02971.
    """
    slope = jax.lax.stop_gradient(dq_daction)
    if clip is not None:
        slope = _clipped(slope, positive(clip, action, "dpg_loss: clip"))
    # Adding the slope before the action is subtracted would round it to the action's precision.
    return 0.5 * jnp.sum(jnp.square(slope + (jax.lax.stop_gradient(action) - action)), axis=-1)


def _clipped(x, longest):
    """Bounds the Euclidean norm of the last axis; the squares neither overflow nor vanish."""
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True)
    # Powers of two round nothing, and unlike a division by the largest they have inverses.
    scale = jnp.where(largest > 1e15, 2.0**-100, jnp.where(largest < 1e-15, 2.0**100, 1)).astype(x.dtype)
    scaled = x * scale
    length = jnp.sqrt(jnp.sum(jnp.square(scaled), axis=-1, keepdims=True))
    return jnp.where(length <= longest * scale, x, scaled * (longest / jnp.maximum(length, 1e-30)))


@checked(widen=True)
def sac_actor_loss(
    log_prob: Float[Array, "*batch"], q: Float[Array, "*batch"], alpha: RealScalarLike | Float[Array, "*#batch"]
) -> Float[Array, "*batch"]:
    r"""The actor's objective of soft actor-critic, at an action drawn by reparametrisation.

    $$L = \alpha \log \pi(\tilde a|s) - Q(s, \tilde a), \qquad \tilde a = f_\pi(\varepsilon; s)$$

    The gradient reaches the policy through the log-probability and, by way of the action, through the critic; the
    critic's own parameters must be held fixed by the caller. Of several critics, pass the minimum.

    Args:
        log_prob: $\log \pi(\tilde a|s)$ in nats.
        q: $Q(s, \tilde a)$, in the units of the reward.
        alpha: $\alpha \ge 0$, the temperature in units of reward per nat, one for all or an array that broadcasts to
            the batch; its gradient is stopped.

    Returns:
        The loss of each example, in the units of the reward.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> sac_actor_loss(jnp.array([-1.0]), jnp.array([2.0]), 0.5).tolist()
        [-2.5]

    References:
        Haarnoja et al., *Soft Actor-Critic Algorithms and Applications*, 2018, arXiv:1812.05905, equation 9.
    """
    alpha = spread(not_negative(alpha, log_prob, "sac_actor_loss: alpha"), log_prob)
    return multiply_no_nan(log_prob, jax.lax.stop_gradient(alpha)) - q


@checked(widen=True)
def temperature_loss(
    multiplier: RealScalarLike | Float[Array, "*#batch"],
    log_prob: Float[Array, "*batch"],
    target_entropy: RealScalarLike,
) -> Float[Array, "*batch"]:
    r"""Moves the temperature of soft actor-critic until the policy has the entropy that is asked for.

    $$L = -m \left(\text{sg}(\log \pi(\tilde a|s)) + \bar{\mathcal{H}}\right)$$

    With the multiplier $m = \alpha = e^{x}$ of a parameter $x$ this is the paper's form; with $m = x = \log \alpha$ it
    is the one that many implementations use, whose steps do not shrink with α.

    Args:
        multiplier: $m$, either $\alpha$ or $\log \alpha$, one for all or an array that broadcasts to the batch; what
            learns.
        log_prob: $\log \pi(\tilde a|s)$ in nats; its gradient is stopped.
        target_entropy: $\bar{\mathcal{H}}$ in nats, commonly minus the number of action dimensions.

    Returns:
        The loss of each example.

    Raises:
        jaxtyping.TypeCheckError: If the log-probability is not floating point.

    Example:
        >>> import jax.numpy as jnp
        >>> temperature_loss(0.5, jnp.array([-1.0, 3.0]), -2.0).tolist()
        [1.5, -0.5]

    References:
        Haarnoja et al., *Soft Actor-Critic Algorithms and Applications*, 2018, arXiv:1812.05905, equation 18.
    """
    target = jnp.asarray(target_entropy, log_prob.dtype)
    return -spread(multiplier, log_prob) * (jax.lax.stop_gradient(log_prob) + target)


@checked(widen=True)
def discrete_sac_actor_loss(
    logits: Float[Array, "*batch actions"],
    q: Float[Array, "*batch actions"],
    alpha: RealScalarLike | Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    r"""The actor's objective of soft actor-critic in expectation over discrete actions.

    $$L = \sum_a \pi(a|s) \left(\alpha \log \pi(a|s) - Q(s, a)\right)$$

    Its minimum is $\pi \propto e^{Q/\alpha}$. Actions masked with −∞ add nothing, whatever their value.

    Args:
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal.
        q: $Q(s, \cdot)$, in the units of the reward; its gradient is stopped. Of several critics, the minimum.
        alpha: $\alpha \ge 0$, the temperature in units of reward per nat, one for all or an array that broadcasts to
            the batch; its gradient is stopped.

    Returns:
        The loss of each example, in the units of the reward.

    Raises:
        ValueError: If α is known and negative.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> loss = discrete_sac_actor_loss(jnp.zeros(2), jnp.array([1.0, 3.0]), 0.5)
        >>> round(loss.item(), 4)
        -2.3466

    References:
        Christodoulou, *Soft Actor-Critic for Discrete Action Settings*, 2019, arXiv:1910.07207, equation 12.
    """
    log_probs = jax.nn.log_softmax(logits, axis=-1)
    alpha = spread(not_negative(alpha, q, "discrete_sac_actor_loss: alpha"), q[..., 0])[..., None]
    soft = jax.lax.stop_gradient(alpha) * log_probs - jax.lax.stop_gradient(q)
    return expected_value(soft, jnp.exp(log_probs))


@checked(widen=True)
def discrete_temperature_loss(
    multiplier: RealScalarLike | Float[Array, "*#batch"],
    logits: Float[Array, "*batch actions"],
    target_entropy: RealScalarLike | Float[Array, "*#batch"],
) -> Float[Array, "*batch"]:
    r"""Moves the temperature of discrete soft actor-critic until the policy has the entropy that is asked for.

    $$L = m \left(\text{sg}(\mathcal{H}(\pi(\cdot|s))) - \bar{\mathcal{H}}\right)$$

    Args:
        multiplier: $m$, either $\alpha$ or $\log \alpha$, as in `temperature_loss`; what learns.
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal. Their gradient is
            stopped.
        target_entropy: $\bar{\mathcal{H}}$ in nats, commonly $0.98 \log n$ for $n$ legal actions; one for all
            examples, or one each.

    Returns:
        The loss of each example.

    Raises:
        jaxtyping.TypeCheckError: If there is no axis of actions.

    Example:
        >>> import jax.numpy as jnp
        >>> round(discrete_temperature_loss(2.0, jnp.zeros(2), 0.5).item(), 4)
        0.3863

    References:
        Christodoulou, *Soft Actor-Critic for Discrete Action Settings*, 2019, arXiv:1910.07207, equation 11.
    """
    entropy = -jax.lax.stop_gradient(entropy_loss(logits))
    return spread(multiplier, entropy) * (entropy - spread(target_entropy, entropy))
