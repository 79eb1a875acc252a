"""What an ensemble of critics says, as one number."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._core import RealScalarLike, checked, guard, random_order


@checked(widen=True)
def ensemble_min(q: Float[Array, "members *batch"]) -> Float[Array, "*batch"]:
    r"""Takes the lowest value of an ensemble: of two critics in TD3 and SAC, of many in SAC-N.

    $$\min_i Q_i$$

    Args:
        q: $Q_i$, one row a member. NaN of any member gives NaN.

    Returns:
        The minimum; members that share it share its gradient.

    Raises:
        ValueError: If the ensemble has no members.

    Example:
        >>> import jax.numpy as jnp
        >>> ensemble_min(jnp.array([[1.0, 5.0], [3.0, 4.0]])).tolist()
        [1.0, 4.0]

    References:
        Fujimoto, van Hoof and Meger, 2018, arXiv:1802.09477. An et al., *Uncertainty-Based Offline Reinforcement
        Learning with Diversified Q-Ensemble*, 2021, arXiv:2110.01548.
    """
    _need_members("ensemble_min", q)
    return jnp.min(q, axis=0)


@checked(widen=True)
def ensemble_mean(q: Float[Array, "members *batch"]) -> Float[Array, "*batch"]:
    r"""Averages an ensemble, as the actor of REDQ does.

    $$\frac{1}{N} \sum_i Q_i$$

    Args:
        q: $Q_i$, one row a member.

    Returns:
        The mean.

    Raises:
        ValueError: If the ensemble has no members.

    Example:
        >>> import jax.numpy as jnp
        >>> ensemble_mean(jnp.array([[1.0, 5.0], [3.0, 4.0]])).tolist()
        [2.0, 4.5]

    References:
        Chen et al., *Randomized Ensembled Double Q-Learning*, 2021, arXiv:2101.05982.
    """
    _need_members("ensemble_mean", q)
    return jnp.mean(q, axis=0)


@checked
def random_subset_min(
    q: Float[Array, "members *batch"], subset_size: int, *, key: Key[Array, ""]
) -> Float[Array, "*batch"]:
    r"""Takes the lowest value of some members, drawn without replacement: the target of REDQ.

    $$\min_{i \in \mathcal{M}} Q_i, \qquad \mathcal{M} \subseteq \{1, \dots, N\},\ |\mathcal{M}| = M$$

    All examples of a call share their subset; map over keys for one each.

    Args:
        q: $Q_i$, one row a member.
        subset_size: $M$, from 1 to the number of members; 2 in the paper.
        key: Randomness of the subset.

    Returns:
        The minimum over the subset; the other members get no gradient.

    Raises:
        ValueError: If the subset is empty or larger than the ensemble.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> random_subset_min(jnp.array([[1.0, 5.0], [3.0, 4.0]]), 2, key=jax.random.key(0)).tolist()
        [1.0, 4.0]

    References:
        Chen et al., *Randomized Ensembled Double Q-Learning*, 2021, arXiv:2101.05982, algorithm 1.
    """
    members = q.shape[0]
    if not 1 <= subset_size <= members:
        raise ValueError(f"random_subset_min: subset_size must be from 1 to {members} members; got {subset_size}")
    subset = random_order(key, members)[:subset_size]
    return jnp.min(jnp.take(q, subset, axis=0), axis=0)


@checked(widen=True)
def lower_confidence_bound(q: Float[Array, "members *batch"], k: RealScalarLike) -> Float[Array, "*batch"]:
    r"""Lowers the mean of an ensemble by a multiple of its deviation.

    $$\bar Q - k \sqrt{\tfrac{1}{N} \sum_i (Q_i - \bar Q)^2}$$

    Where all members agree the deviation and its gradient are zero. −∞ of any member, a masked action, gives −∞.

    Args:
        q: $Q_i$, one row a member.
        k: $k \ge 0$, how many deviations; 0 gives the mean.

    Returns:
        The bound, in the units of the values.

    Raises:
        ValueError: If k is known and negative, or if the ensemble has no members.

    Example:
        >>> import jax.numpy as jnp
        >>> lower_confidence_bound(jnp.array([[1.0, 5.0], [3.0, 5.0]]), 0.5).tolist()
        [1.5, 5.0]

    References:
        Chen et al., *UCB Exploration via Q-Ensembles*, 2017, arXiv:1706.01502, with the sign turned. Ghasemipour, Gu
        and Nachum, *Why So Pessimistic?*, 2022, arXiv:2205.13703.
    """
    _need_members("lower_confidence_bound", q)
    k = guard(k, lambda x: x >= 0, "lower_confidence_bound: k must not be negative")
    masked = jnp.isneginf(q).any(axis=0)
    q = jnp.where(masked[None], 0, q)
    mean = jnp.mean(q, axis=0)
    variance = jnp.mean(jnp.square(q - mean[None]), axis=0)
    deviation = jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))
    return jnp.where(masked, -jnp.inf, mean - jnp.asarray(k, q.dtype) * deviation)


def _need_members(function: str, q: Array) -> None:
    if q.shape[0] == 0:
        raise ValueError(f"{function}: an ensemble needs at least one member")
