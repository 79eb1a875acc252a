"""Policy gradients in expectation over all discrete actions."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, expected_value
from ._knobs import positive


@checked(widen=True)
def qpg_loss(logits: Float[Array, "*batch actions"], q: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    r"""The policy gradient over all actions (QPG, mean actor-critic).

    $$L = -\sum_a \pi(a)\, \text{sg}(A(a)), \qquad A(a) = Q(a) - \sum_b \pi(b)\, Q(b)$$

    Actions masked with −∞ add nothing, whatever their value. The loss is zero up to rounding; only its gradient has a
    meaning.

    Args:
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal.
        q: $Q(s, \cdot)$, in the units of the reward; its gradient is stopped.

    Returns:
        The loss of each example.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> jax.grad(qpg_loss)(jnp.zeros(2), jnp.array([1.0, 3.0])).tolist()
        [0.5, -0.5]

    References:
        Srinivasan et al., *Actor-Critic Policy Optimization in Partially Observable Multiagent Environments*, 2018,
        arXiv:1810.09026.
    """
    probs = jax.nn.softmax(logits, axis=-1)
    return -expected_value(jax.lax.stop_gradient(_regret(logits, probs, q)), probs)


@checked(widen=True)
def rm_loss(logits: Float[Array, "*batch actions"], q: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    r"""The regret-matching policy gradient: only actions better than the policy's mean are pushed.

    $$L = -\sum_a \pi(a)\, \text{sg}(\max(A(a), 0)), \qquad A(a) = Q(a) - \sum_b \pi(b)\, Q(b)$$

    Actions masked with −∞ add nothing, whatever their value.

    Args:
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal.
        q: $Q(s, \cdot)$, in the units of the reward; its gradient is stopped.

    Returns:
        The loss of each example, in the units of the reward.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> rm_loss(jnp.zeros(2), jnp.array([1.0, 3.0])).item()
        -0.5

    References:
        Srinivasan et al., *Actor-Critic Policy Optimization in Partially Observable Multiagent Environments*, 2018,
        arXiv:1810.09026.
    """
    probs = jax.nn.softmax(logits, axis=-1)
    return -expected_value(jax.lax.stop_gradient(jax.nn.relu(_regret(logits, probs, q))), probs)


@checked(widen=True)
def rpg_loss(logits: Float[Array, "*batch actions"], q: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    r"""The regret policy gradient: the sum of positive regrets, made small.

    $$L = \sum_a \max(A(a), 0), \qquad A(a) = Q(a) - \sum_b \pi(b)\, Q(b)$$

    The gradient flows through the policy's mean. Actions masked with −∞ cannot be regretted, whatever their value.

    Args:
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal.
        q: $Q(s, \cdot)$, in the units of the reward; its gradient is stopped.

    Returns:
        The loss of each example, in the units of the reward.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> rpg_loss(jnp.zeros(2), jnp.array([1.0, 3.0])).item()
        1.0

    References:
        Srinivasan et al., *Actor-Critic Policy Optimization in Partially Observable Multiagent Environments*, 2018,
        arXiv:1810.09026.
    """
    return jnp.sum(jax.nn.relu(_regret(logits, jax.nn.softmax(logits, axis=-1), q)), axis=-1)


@checked(widen=True)
def neurd_loss(
    logits: Float[Array, "*batch actions"], q: Float[Array, "*batch actions"], *, threshold: RealScalarLike = 2.0
) -> Float[Array, "*batch"]:
    r"""Neural replicator dynamics: the advantage moves the logit itself, not its softmax.

    $$\nabla_{y(a)} L = -A(a)\ \mathbb{1}\left[\,y(a)\ \text{sign} A(a) < \beta\,\right], \qquad
      A(a) = Q(a) - \sum_b \pi(b)\, Q(b)$$

    An improbable action learns as fast as a probable one, so the policy can turn around. A logit at the threshold is
    not pushed further out; back it may always come. Actions masked with −∞ add nothing, whatever their value.

    Args:
        logits: $y$, in nats, best near zero, since the threshold is on themselves; −∞ for illegal actions, at least one
            legal.
        q: $Q(s, \cdot)$, or counterfactual values or regrets; its gradient is stopped.
        threshold: $\beta > 0$.

    Returns:
        The loss of each example, $-\sum_a y(a) A(a)$ over the actions that may move. Only its gradient has a meaning.

    Raises:
        ValueError: If the threshold is known and not positive.
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> jax.grad(neurd_loss)(jnp.array([2.5, 2.5]), jnp.array([1.0, 3.0])).tolist()
        [1.0, -0.0]

    References:
        Hennes et al., *Neural Replicator Dynamics*, 2019, arXiv:1906.00190.
    """
    threshold = positive(threshold, logits, "neurd_loss: threshold")
    regret = jax.lax.stop_gradient(_regret(logits, jax.nn.softmax(logits, axis=-1), q))
    at_the_end = ((regret > 0) & (logits >= threshold)) | ((regret <= 0) & (logits <= -threshold))  # NaN is at none
    return -expected_value(logits, jnp.where(at_the_end, 0, regret))


def _regret(logits, probs, q):
    """Advantage over the policy's mean, zero for illegal actions."""
    q = jax.lax.stop_gradient(q)
    return jnp.where(jnp.isneginf(logits), 0, q - expected_value(q, probs)[..., None])
