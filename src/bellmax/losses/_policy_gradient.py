"""Objectives that are linear in the log-probability of an action."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import checked, multiply_no_nan


@checked(widen=True)
def policy_gradient_loss(log_prob: Float[Array, "*batch"], advantage: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""The score-function objective of REINFORCE and of advantage actor-critics.

    $$L = -A \log \pi(a|s), \qquad -\nabla L = A\, \nabla \log \pi(a|s)$$

    A zero advantage erases what it multiplies, the −∞ of an impossible action included.

    Args:
        log_prob: $\log \pi(a|s)$ of the action taken, in nats.
        advantage: $A$, a return or an advantage in any unit; its gradient is stopped.

    Returns:
        The loss of each example. Only its gradient has a meaning.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> policy_gradient_loss(jnp.array([-1.0, -2.0]), jnp.array([3.0, -1.0])).tolist()
        [3.0, -2.0]

    References:
        Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, 1992.
        Mnih et al., *Asynchronous Methods for Deep Reinforcement Learning*, 2016, arXiv:1602.01783.
    """
    return multiply_no_nan(log_prob, -jax.lax.stop_gradient(advantage))


@checked(widen=True)
def behaviour_cloning_loss(log_prob: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Imitates actions: the negative log-likelihood, finite for impossible ones.

    $$L = -\max\left(\log \pi(a|s),\ x_{min}\right)$$

    The floor $x_{min}$ is the lowest finite number of the type, about −3.4e38 in float32. Below it the gradient is
    zero. A weight of zero erases such an example (`weight * loss`), but the sum of two of them overflows.

    Args:
        log_prob: $\log \pi(a|s)$ of the demonstrated action, in nats.

    Returns:
        The loss of each example, in nats.

    Raises:
        jaxtyping.TypeCheckError: If the log-probability is not floating point.

    Example:
        >>> import jax.numpy as jnp
        >>> behaviour_cloning_loss(jnp.array([-0.5, -2.0])).tolist()
        [0.5, 2.0]

    References:
        Pomerleau, *ALVINN: An Autonomous Land Vehicle in a Neural Network*, 1989. Hessel et al., *Muesli: Combining
        Improvements in Policy Optimization*, 2021, arXiv:2104.06159, for sampled policy targets.
    """
    return -jnp.maximum(log_prob, jnp.finfo(log_prob.dtype).min)
