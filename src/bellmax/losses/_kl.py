"""Entropies and divergences out of parameters, for losses that know no distribution."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import at_least_float32, checked, expected_value

_LARGEST_LOGVAR = 80.0
"""exp(±80) is finite in float32."""


@checked
def entropy_loss(logits: Float[Array, "*batch actions"]) -> Float[Array, "*batch"]:
    r"""The negative entropy of a discrete policy: minimising it keeps the policy random.

    $$L = -\mathcal{H}(\pi) = \sum_a \pi(a) \log \pi(a), \qquad \pi = \text{softmax}(\text{logits})$$

    Actions masked with −∞ add nothing, to the value and to the gradient. Add `beta * entropy_loss(logits)` to any
    policy loss as an entropy bonus.

    Args:
        logits: Unnormalised log-probabilities in nats; −∞ for illegal actions, at least one legal.

    Returns:
        The loss of each example in nats, from $-\log n$ to 0, in float32 or wider.

    Raises:
        jaxtyping.TypeCheckError: If there is no axis of actions.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(each, 4) for each in entropy_loss(jnp.array([[0.0, 0.0], [0.0, -jnp.inf]])).tolist()]
        [-0.6931, 0.0]

    References:
        Williams and Peng, *Function Optimization using Connectionist Reinforcement Learning Algorithms*, 1991.
    """
    log_probs = jax.nn.log_softmax(at_least_float32(logits), axis=-1)
    return expected_value(log_probs, jnp.exp(log_probs))


@checked
def categorical_kl(
    logits: Float[Array, "*batch actions"], other_logits: Float[Array, "*batch actions"]
) -> Float[Array, "*batch"]:
    r"""The divergence between two discrete policies.

    $$\text{KL}(\pi \,\|\, \pi') = \sum_a \pi(a) \left(\log \pi(a) - \log \pi'(a)\right)$$

    What π never does adds nothing, so equal masks give a finite value and gradient; what only π' never does makes the
    divergence infinite. A probability that underflows to zero counts as never.

    Args:
        logits: Unnormalised log-probabilities of π in nats; −∞ for illegal actions, at least one legal.
        other_logits: Those of π'.

    Returns:
        The divergence of each example in nats, in float32 or wider. Differentiable in both.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(categorical_kl(jnp.array([0.0, 0.0]), jnp.log(jnp.array([0.25, 0.75]))).item(), 4)
        0.1438

    References:
        Kullback and Leibler, *On Information and Sufficiency*, 1951.
    """
    log_probs, other_log_probs = (jax.nn.log_softmax(x, axis=-1) for x in _widened(logits, other_logits))
    return expected_value(log_probs - other_log_probs, jnp.exp(log_probs))


@checked
def gaussian_kl(
    mu: Float[Array, "*batch action_dim"],
    logvar: Float[Array, "*batch action_dim"],
    other_mu: Float[Array, "*batch action_dim"],
    other_logvar: Float[Array, "*batch action_dim"],
) -> Float[Array, "*batch"]:
    r"""The divergence between two Gaussians with diagonal covariances.

    $$\text{KL} = \tfrac{1}{2} \sum_i \left(e^{\nu_i - \nu'_i} - 1 - (\nu_i - \nu'_i)
      + (\mu_i - \mu'_i)^2 e^{-\nu'_i}\right)$$

    MPO's decoupled divergences are this one with the gradient of one parameter stopped: of the mean,
    `gaussian_kl(old_mu, old_logvar, mu, old_logvar)`; of the covariance, `gaussian_kl(old_mu, old_logvar, old_mu,
    logvar)`.

    Args:
        mu: $\mu$, in the units of the action.
        logvar: $\nu$, the logarithm of the variance, bounded to ±80.
        other_mu: $\mu'$.
        other_logvar: $\nu'$, bounded likewise; a difference $\nu - \nu'$ above 80 counts as 80 in the exponential.

    Returns:
        The divergence of each example in nats, in float32 or wider. Differentiable in all.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> zero = jnp.zeros(2)
        >>> gaussian_kl(zero, zero, jnp.array([1.0, 2.0]), zero).item()
        2.5

    References:
        Kullback and Leibler, *On Information and Sufficiency*, 1951. Abdolmaleki et al., *Relative Entropy Regularized
        Policy Iteration*, 2018, arXiv:1812.02256, for the decoupling.
    """
    mu, logvar, other_mu, other_logvar = _widened(mu, logvar, other_mu, other_logvar)
    logvar, other_logvar = _bounded(logvar), _bounded(other_logvar)
    gap = logvar - other_logvar
    distance = jnp.square((mu - other_mu) * jnp.exp(-0.5 * other_logvar))
    return 0.5 * jnp.sum(jnp.expm1(jnp.minimum(gap, _LARGEST_LOGVAR)) - gap + distance, axis=-1)


@checked
def gaussian_cross_entropy(
    mu: Float[Array, "*batch action_dim"],
    logvar: Float[Array, "*batch action_dim"],
    target_mu: Float[Array, "*batch action_dim"],
    target_logvar: Float[Array, "*batch action_dim"],
) -> Float[Array, "*batch"]:
    r"""The cross-entropy of a Gaussian policy to a Gaussian target.

    $$L = -E_{a \sim \pi'}[\log \pi(a)] = \tfrac{1}{2} \sum_i \left(\log 2\pi + \nu_i
      + \left(e^{\nu'_i} + (\mu_i - \mu'_i)^2\right) e^{-\nu_i}\right)$$

    It is the divergence from the target plus the target's entropy: its gradient is zero only where the two agree. For
    discrete policies it is `cross_entropy_loss`.

    Args:
        mu: $\mu$ of the learner, in the units of the action.
        logvar: $\nu$, the logarithm of its variance, bounded to ±80.
        target_mu: $\mu'$; its gradient is stopped.
        target_logvar: $\nu'$, bounded likewise; its gradient is stopped. A difference $\nu' - \nu$ above 80 counts as
            80.

    Returns:
        The loss of each example in nats, in float32 or wider.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> zero = jnp.zeros(1)
        >>> round(gaussian_cross_entropy(zero, zero, zero, zero).item(), 4)
        1.4189

    References:
        Cover and Thomas, *Elements of Information Theory*, 2nd edition, sections 2.3 and 8.1.
    """
    target_mu, target_logvar = jax.lax.stop_gradient((target_mu, target_logvar))
    mu, logvar, target_mu, target_logvar = _widened(mu, logvar, target_mu, target_logvar)
    logvar, target_logvar = _bounded(logvar), _bounded(target_logvar)
    spread = jnp.exp(jnp.minimum(target_logvar - logvar, _LARGEST_LOGVAR))
    distance = jnp.square((mu - target_mu) * jnp.exp(-0.5 * logvar))
    return 0.5 * jnp.sum(math.log(2 * math.pi) + logvar + spread + distance, axis=-1)


def _bounded(logvar):
    return jnp.clip(logvar, -_LARGEST_LOGVAR, _LARGEST_LOGVAR)


def _widened(*arrays):
    """Brings arrays to the widest type among them, float32 at least."""
    arrays = [at_least_float32(x) for x in arrays]
    widest = max((x.dtype for x in arrays), key=lambda dtype: jnp.finfo(dtype).bits)
    return [x.astype(widest) for x in arrays]
