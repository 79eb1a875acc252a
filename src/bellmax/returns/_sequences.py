"""Cutting and masking sequences."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Integer, Key, PyTree, Shaped

from .._core import checked, guard


@checked
def extract_subsequences(
    sequences: PyTree[Shaped[Array, "time ..."] | Shaped[np.ndarray, "time ..."]],
    starts: Integer[Array, "*batch starts"],
    length: int,
) -> PyTree[Shaped[Array, "length ..."]]:
    r"""Cuts pieces of one length, which may overlap, out of each sequence.

    $$y_{k,b,i} = x_{s_{b,i} + k,\, b}, \qquad 0 \le k < length$$

    Args:
        sequences: Arrays with leading axes `time *batch`, and any others after them.
        starts: Step at which each piece begins, from 0 to time − length. Outside, where values are known it raises;
            under a transform the piece is NaN (in integers the least one, in booleans True).
        length: How many steps a piece has, from 1 to time.

    Returns:
        For each array one with axes `length *batch starts`, and its others. Differentiable in the sequences.

    Raises:
        ValueError: If the length or a start is outside its range, or the batch axes of an array and of the starts
            differ.
        jaxtyping.TypeCheckError: If the sequences are not arrays of the same time axis, or the starts not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> extract_subsequences(jnp.arange(5), jnp.array([0, 3]), length=2).tolist()
        [[0, 3], [1, 4]]

    References:
        Schrittwieser et al., *Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model*, 2019,
        arXiv:1911.08265, which unrolls its model from such pieces.
    """
    time = jax.tree.leaves(sequences)[0].shape[0]
    if not 1 <= length <= time:
        raise ValueError(f"extract_subsequences: length must lie in [1, {time}]; got {length}")
    latest = time - length
    expected = f"extract_subsequences: starts must lie in [0, {latest}]"
    starts = guard(starts, lambda x: (x >= 0) & (x <= latest), expected)
    batch = starts.shape[:-1]
    first = jnp.where((starts < 0) | (starts > latest), time, starts.astype(jnp.int32))
    index = jnp.arange(length, dtype=jnp.int32).reshape(length, *(1 for _ in starts.shape)) + first[None]
    others = jnp.meshgrid(*(jnp.arange(size) for size in batch), indexing="ij", sparse=True)

    def cut(leaf):
        leaf = jnp.asarray(leaf)
        if leaf.shape[1 : 1 + len(batch)] != batch:
            raise ValueError(f"extract_subsequences: starts have batch axes {batch}; got an array of {leaf.shape}")
        return leaf.at[(index, *(other[None, ..., None] for other in others))].get(mode="fill")

    return jax.tree.map(cut, sequences)


@checked
def sample_start_indices(
    time: int, length: int, count: int, batch: tuple[int, ...] = (), *, key: Key[Array, ""]
) -> Int[Array, "*batch starts"]:
    r"""Draws where to cut pieces out of sequences, uniformly, and no start twice for the same sequence.

    $$s \sim \mathcal U\{0, \dots, time - length\}$$

    Args:
        time: How many steps a sequence has.
        length: How many steps a piece has, from 1 to time.
        count: How many starts for each sequence, from 1 to time − length + 1.
        batch: Sizes of the batch axes.
        key: Randomness.

    Returns:
        Starts for `extract_subsequences`, with axes `*batch starts`.

    Raises:
        ValueError: If the length or the count is outside its range.

    Example:
        >>> import jax
        >>> starts = sample_start_indices(5, 3, 2, (4,), key=jax.random.key(0))
        >>> starts.shape, bool(((starts >= 0) & (starts <= 2)).all())
        ((4, 2), True)

    References:
        Schrittwieser et al., *Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model*, 2019,
        arXiv:1911.08265.
    """
    if not 1 <= length <= time:
        raise ValueError(f"sample_start_indices: length must lie in [1, {time}]; got {length}")
    possible = time - length + 1
    if not 1 <= count <= possible:
        raise ValueError(f"sample_start_indices: count must lie in [1, {possible}], all different; got {count}")
    keys = jax.random.split(key, math.prod(batch))
    orders = jax.vmap(lambda key: jax.random.permutation(key, possible))(keys)
    return orders[:, :count].astype(jnp.int32).reshape(*batch, count)


@checked
def valid_mask(
    terminated: Bool[Array, "time *batch"], truncated: Bool[Array, "time *batch"]
) -> Bool[Array, "time *batch"]:
    r"""Tells an episode from the padding behind it.

    $$m_t = \prod_{k<t} (1 - terminated_k)(1 - truncated_k)$$

    For sequences that hold one episode each, from its first step, and anything after its end. For rollouts whose
    environments are reset on the way every step is valid: there the ends belong into discounts and λ.

    Args:
        terminated: Whether the step ended in a terminal state.
        truncated: Whether the step was the last before the episode was cut short.

    Returns:
        True up to and including the first end, the mask for `masked_mean`.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or they are not booleans.

    Example:
        >>> import jax.numpy as jnp
        >>> valid_mask(jnp.array([False, True, False, True]), jnp.zeros(4, bool)).tolist()
        [True, True, False, False]

    References:
        Pardo et al., *Time Limits in Reinforcement Learning*, 2018, arXiv:1712.00378.
    """
    ended = (terminated | truncated).astype(jnp.int32)
    return jnp.cumsum(ended, axis=0) == ended
