"""Values as quantiles."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import at_least_float32, checked, guard, multiply_no_nan


class QuantileFractions(eqx.Module):
    r"""How the probabilities are cut into shares.

    Attributes:
        edges: $\tau_0 = 0 \le \tau_1 \le \dots \le \tau_n = 1$.
        midpoints: $\hat\tau_i = (\tau_i + \tau_{i+1})/2$, at which quantiles are taken.
        entropy: Entropy of the shares in nats, which keeps them from collapsing.
    """

    edges: Float[Array, "*batch edges"]
    midpoints: Float[Array, "*batch quantiles"]
    entropy: Float[Array, "*batch"]


@checked(widen=True)
def quantile_mean(
    quantiles: Float[Array, "*batch quantiles"], edges: Float[Array, "*batch quantiles+1"] | None = None
) -> Float[Array, "*batch"]:
    r"""Gives the mean of a distribution from its quantiles.

    $$\mathbb{E}[Z] = \sum_i (\tau_{i+1} - \tau_i)\, F^{-1}(\hat\tau_i)$$

    Without edges all shares are equal: right for fixed midpoints, and for fractions drawn uniformly. A share of width
    zero erases its quantile, infinities included.

    Args:
        quantiles: $F^{-1}(\hat\tau_i)$, in the units of the value.
        edges: $\tau$, increasing from 0 to 1, as `quantile_fractions` gives them; None for equal shares.

    Returns:
        The mean, in the units of the value. Differentiable.

    Raises:
        jaxtyping.TypeCheckError: If there is not one edge more than there are quantiles.

    Example:
        >>> import jax.numpy as jnp
        >>> quantiles = jnp.array([1.0, 3.0])
        >>> quantile_mean(quantiles).tolist(), quantile_mean(quantiles, jnp.array([0.0, 0.75, 1.0])).tolist()
        (2.0, 1.5)

    References:
        Yang et al., *Fully Parameterized Quantile Function for Distributional Reinforcement Learning*, 2019,
        arXiv:1911.02140, section 3.1.
    """
    if edges is None:
        return jnp.mean(quantiles, axis=-1)
    return jnp.sum(multiply_no_nan(quantiles, jnp.diff(edges, axis=-1)), axis=-1)


@checked
def quantile_fractions(logits: Float[Array, "*batch quantiles"]) -> QuantileFractions:
    r"""Cuts the probabilities into shares that a network proposes.

    $$\tau_i = \sum_{j<i} \mathrm{softmax}(x)_j, \qquad \hat\tau_i = \frac{\tau_i + \tau_{i+1}}{2}$$

    The first edge is 0 and the last 1, exactly. Fractions are float32 or wider, for they are differences of
    probabilities.

    Args:
        logits: $x$, one number a share. A share of −∞ has no width.

    Returns:
        Edges, midpoints, and the entropy of the shares. Differentiable.

    Raises:
        jaxtyping.TypeCheckError: If there is no axis of quantiles.

    Example:
        >>> import jax.numpy as jnp
        >>> fractions = quantile_fractions(jnp.log(jnp.array([1.0, 3.0])))
        >>> fractions.edges.tolist(), fractions.midpoints.tolist()
        ([0.0, 0.25, 1.0], [0.125, 0.625])

    References:
        Yang et al., *Fully Parameterized Quantile Function for Distributional Reinforcement Learning*, 2019,
        arXiv:1911.02140, section 3.2.
    """
    log_shares = jax.nn.log_softmax(at_least_float32(logits))
    shares = jnp.exp(log_shares)
    inner = jnp.minimum(jnp.cumsum(shares, axis=-1)[..., :-1], 1)
    ends = jnp.zeros_like(shares[..., :1])
    edges = jnp.concatenate([ends, inner, ends + 1], axis=-1)
    entropy = -jnp.sum(multiply_no_nan(log_shares, shares), axis=-1)
    return QuantileFractions(edges, 0.5 * (edges[..., 1:] + edges[..., :-1]), entropy)


@checked(widen=True)
def cosine_embedding(fractions: Float[Array, "*batch"], size: int) -> Float[Array, "*batch {size}"]:
    r"""Turns fractions into features for an implicit quantile network.

    $$\phi_i(\tau) = \cos(\pi i \tau), \qquad i = 0, \dots, n - 1$$

    Args:
        fractions: $\tau \in [0, 1]$.
        size: $n$, the number of features, at least 1; the paper takes 64.

    Returns:
        One vector of features for each fraction, before the linear layer and its rectifier. Differentiable.

    Raises:
        ValueError: If there is not a single feature, or a fraction is known and outside [0, 1].
        jaxtyping.TypeCheckError: If the fractions are not numbers.

    Example:
        >>> [round(float(x), 3) for x in cosine_embedding(0.5, 4)]
        [1.0, -0.0, -1.0, 0.0]

    References:
        Dabney et al., *Implicit Quantile Networks for Distributional Reinforcement Learning*, 2018, arXiv:1806.06923,
        equation 4.
    """
    if size < 1:
        raise ValueError(f"cosine_embedding: size must be at least 1; got {size}")
    fractions = guard(fractions, _no_outsider, "cosine_embedding: fractions must lie in [0, 1]")
    turns = jnp.arange(size, dtype=fractions.dtype).reshape((1,) * fractions.ndim + (size,))
    return jnp.cos(jnp.pi * turns * fractions[..., None])


@checked(widen=True)
def pool_quantiles(
    quantiles: Float[Array, "members *batch quantiles"], drop_per_member: int
) -> Float[Array, "*batch pooled"]:
    r"""Pools the quantiles of an ensemble and drops the largest: truncated quantile critics.

    $$z_{(1)} \le \dots \le z_{(kM)}, \qquad kM = M\,(n - d)$$

    the smallest $kM$ of the $Mn$ quantiles of $M$ members. Their mean is a pessimistic value. A NaN among an
    example's quantiles makes all of its results NaN, since it would otherwise be sorted to the end and dropped.

    Args:
        quantiles: Of each member, in any order.
        drop_per_member: $d$, how many to drop for each member: from 0 to quantiles − 1.

    Returns:
        What is kept, in increasing order. Differentiable.

    Raises:
        ValueError: If nothing would be left, the number is negative, or the ensemble has no members.
        jaxtyping.TypeCheckError: If there is no axis of members or of quantiles.

    Example:
        >>> import jax.numpy as jnp
        >>> pool_quantiles(jnp.array([[1.0, 4.0], [3.0, 2.0]]), 1).tolist()
        [1.0, 2.0]

    References:
        Kuznetsov et al., *Controlling Overestimation Bias with Truncated Mixture of Continuous Distributional Quantile
        Critics*, 2020, arXiv:2005.04269.
    """
    members, num_quantiles = quantiles.shape[0], quantiles.shape[-1]
    if members == 0:
        raise ValueError("pool_quantiles: an ensemble needs at least one member")
    if not 0 <= drop_per_member < num_quantiles:
        raise ValueError(
            f"pool_quantiles: drop_per_member must be between 0 and {num_quantiles - 1}, for members of "
            f"{num_quantiles} quantiles; got {drop_per_member}"
        )
    pooled = jnp.moveaxis(quantiles, 0, -1).reshape(*quantiles.shape[1:-1], members * num_quantiles)
    kept = jnp.sort(pooled, axis=-1)[..., : members * (num_quantiles - drop_per_member)]
    return jnp.where(jnp.any(jnp.isnan(pooled), axis=-1, keepdims=True), jnp.nan, kept)


def _no_outsider(fractions):
    """Whether no fraction is outside [0, 1]; a NaN is not: it goes on, and stays visible."""
    return ~((fractions < 0) | (fractions > 1))
