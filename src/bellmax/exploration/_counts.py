"""Counts of states, and the bonus that falls with them."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from .._core import RealScalarLike, checked, guard, psum


@checked
def count_bonus(count: Float[Array, "*batch"], *, beta: RealScalarLike) -> Float[Array, "*batch"]:
    r"""A bonus for what was seen seldom.

    $$b = \frac{\beta}{\sqrt{\max(n, 1)}}$$

    Args:
        count: $n$, how often the state was visited, this visit included; integers are converted.
        beta: $\beta \ge 0$, in the units of the reward.

    Returns:
        The bonus of each example, in the units of the reward.

    Raises:
        ValueError: If `beta` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> count_bonus(jnp.array([1, 4]), beta=0.5).tolist()
        [0.5, 0.25]

    References:
        Strehl and Littman, *An analysis of model-based Interval Estimation for Markov Decision Processes*, 2008. Tang
        et al., *#Exploration: A Study of Count-Based Exploration for Deep Reinforcement Learning*, 2016,
        arXiv:1611.04717, equation 1.
    """
    beta = guard(beta, lambda beta: beta >= 0, "count_bonus: beta must be at least 0")
    return jnp.asarray(beta, count.dtype) / jnp.sqrt(jnp.maximum(count, 1))


@checked
def simhash(
    features: Float[Array, "*batch features"], projection: Float[Array, "bits features"]
) -> Int[Array, "*batch"]:
    r"""Gives nearby features the same code: which side of each of some random planes they lie on.

    $$c = \sum_{i=0}^{k-1} 2^i\, [A_i \cdot f \ge 0]$$

    Args:
        features: $f$, no unit.
        projection: $A$, one row a bit, drawn once from a standard normal; at most 31 rows.

    Returns:
        A code for each example, from 0 to $2^k - 1$. Features of zero lie on every plane: all bits are 1.
        NaN in the features gives bits of 0.

    Raises:
        ValueError: If there are more than 31 bits.

    Example:
        >>> import jax.numpy as jnp
        >>> simhash(jnp.array([1.0, -2.0]), jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])).tolist()
        5

    References:
        Tang et al., *#Exploration: A Study of Count-Based Exploration for Deep Reinforcement Learning*, 2016,
        arXiv:1611.04717, equation 2. Charikar, *Similarity estimation techniques from rounding algorithms*, 2002.
    """
    bits = projection.shape[0]
    if bits > 31:
        raise ValueError(f"simhash: at most 31 bits fit a code; got a projection of {bits} rows")
    sides = jnp.einsum("...f,bf->...b", features, projection.astype(features.dtype), precision="highest") >= 0
    powers = 2 ** jnp.arange(bits, dtype=jnp.int32)
    return jnp.sum(jnp.where(sides, jnp.broadcast_to(powers, sides.shape), 0), axis=-1, dtype=jnp.int32)


@checked
def update_counts(
    table: Integer[Array, " codes"], code: Integer[Array, "*batch"], *, axis_name: str | None = None
) -> tuple[Integer[Array, "*batch"], Integer[Array, " codes"]]:
    r"""Counts codes in a table, those of the whole batch first.

    $$n'_c = n_c + \sum_i [c_i \bmod m = c]$$

    Args:
        table: $n$, a count for each of the $m$ codes, zeros at the start. Codes beyond share its entries.
        code: $c$, any integers.
        axis_name: Name of the mapped device axis, or None: the visits of all devices are counted.

    Returns:
        How often each example's code was seen, this batch included, and the new table; the table is the same on every
        device.

    Raises:
        jaxtyping.TypeCheckError: If the codes are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> count, table = update_counts(jnp.zeros(4, int), jnp.array([1, 1, 7]))
        >>> count.tolist(), table.tolist()
        ([2, 2, 1], [0, 2, 0, 1])

    References:
        Tang et al., *#Exploration: A Study of Count-Based Exploration for Deep Reinforcement Learning*, 2016,
        arXiv:1611.04717, algorithm 1.
    """
    code = code if jnp.iinfo(code.dtype).bits >= 32 else code.astype(jnp.int32)
    entry = jnp.mod(code, jnp.asarray(table.shape[0], code.dtype))
    visits = psum(jnp.zeros_like(table).at[jnp.ravel(entry)].add(1), axis_name)
    table = table + visits
    return table[entry], table
