"""The softmax of logits, the uniform distribution, and their mixture."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from .._core import RealScalarLike, at_least_float32, checked, guard
from ._discrete import Discrete, proportion
from ._masks import Mask, forbid, shared_alike


class CategoricalDistribution(Discrete):
    """The distribution that `categorical`, `uniform` and `unimix` return."""

    leaves = ("unnormalised_logits",)
    unnormalised_logits: Array

    @property
    def logits(self) -> Array:
        """Normalised log-probabilities, `*batch actions`."""
        return jax.nn.log_softmax(at_least_float32(self.unnormalised_logits), axis=-1)


@checked
def categorical(
    logits: Float[Array, "*batch actions"],
    *,
    mask: Mask | None = None,
) -> CategoricalDistribution:
    r"""Chooses an action with the probability that its logit says.

    $$\pi(a) = \frac{e^{z_a}}{\sum_b e^{z_b}}$$

    Args:
        logits: $z$, unnormalised log-probabilities in nats. −∞ gives an action probability zero; at least one must be
            finite, or every log-probability is NaN, as it is with +∞.
        mask: True, or 1, where an action is legal, of the shape of the logits or one for all. An illegal action has
            probability zero and log-probability −∞, whatever its logit, and adds nothing to the entropy or its
            gradient. The divergence KL(p ‖ q) is infinite where q forbids what p does. Where nothing is legal,
            probabilities are NaN.

    Returns:
        A `distrax.Categorical` over actions 0 to actions − 1.

    Raises:
        ValueError: If the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> pi = categorical(jnp.array([0.0, 0.0, 5.0]), mask=jnp.array([True, True, False]))
        >>> pi.probs.tolist()
        [0.5, 0.5, 0.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 13.1; on masks Huang and Ontañón, *A Closer
        Look at Invalid Action Masking in Policy Gradient Algorithms*, 2020, arXiv:2006.14171.
    """
    return CategoricalDistribution.tree_unflatten(None, (forbid(logits, mask, "categorical"),))


@checked
def uniform(mask: Bool[Array, "*batch actions"] | Integer[Array, "*batch actions"]) -> CategoricalDistribution:
    r"""Takes any legal action, each as likely.

    $$\pi(a) = \frac{1}{n}$$

    with $n$ legal actions.

    Args:
        mask: True, or 1, where an action is legal; `jnp.ones(4, bool)` for all of four. Where nothing is legal,
            probabilities are NaN.

    Returns:
        A `distrax.Categorical` over actions 0 to actions − 1.

    Raises:
        ValueError: If the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the mask is neither boolean nor integer.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform(jnp.array([True, False, True, False])).probs.tolist()
        [0.5, 0.0, 0.5, 0.0]

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, section 4.1, whose example begins with this policy.
    """
    return CategoricalDistribution.tree_unflatten(None, (forbid(jnp.zeros(mask.shape), mask, "uniform"),))


@checked
def unimix(
    logits: Float[Array, "*batch actions"],
    mixture: RealScalarLike | Float[Array, "*batch"] = 0.01,
    *,
    mask: Mask | None = None,
) -> CategoricalDistribution:
    r"""Mixes a little of the uniform distribution into the softmax, so that no legal action becomes impossible.

    $$\pi(a) = (1-m)\,\frac{e^{z_a}}{\sum_b e^{z_b}} + \frac{m}{n}$$

    with $n$ legal actions. Log-probabilities are at least $\log(m/n)$, which bounds divergences and gradients, unless
    $m/n$ is below the least normal number (1.2e-38 in float32) and underflows.

    Args:
        logits: $z$, unnormalised log-probabilities in nats. −∞ leaves an action the probability $m/n$.
        mixture: $m \in [0, 1]$, one for all or one an example. Under a transform an m outside counts as the nearest
            bound.
        mask: True, or 1, where an action is legal, of the shape of the logits or one for all. An illegal action has
            probability zero, whatever its logit. Where nothing is legal, probabilities are NaN.

    Returns:
        A `distrax.Categorical` over actions 0 to actions − 1.

    Raises:
        ValueError: If m is known and outside [0, 1], or the mask is known and leaves no action legal.
        jaxtyping.TypeCheckError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> unimix(jnp.array([0.0, -jnp.inf]), 0.5).probs.tolist()
        [0.75, 0.25]

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104.
    """
    mixture = guard(mixture, lambda m: (m >= 0) & (m <= 1), "unimix: mixture must be in [0, 1]")
    logits = at_least_float32(logits)
    share = shared_alike(mask, logits.shape, logits.dtype)
    m = proportion(jnp.broadcast_to(jnp.asarray(mixture, logits.dtype), logits.shape[:-1]))[..., None]
    log_softmax = jax.nn.log_softmax(forbid(logits, mask, "unimix"), axis=-1)
    probs = (1 - m) * jnp.exp(log_softmax) + m * share
    # The logarithm of a probability that underflows is the softmax's own, as there m is next to nothing.
    large = probs >= jnp.finfo(probs.dtype).tiny
    mixed = jnp.where(large, jnp.log(jnp.where(large, probs, 1)), log_softmax)
    return CategoricalDistribution.tree_unflatten(None, (jnp.where(jnp.isnan(probs), jnp.nan, mixed),))
