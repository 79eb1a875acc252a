"""Episodic novelty: how far a state is from those of the same episode."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core import Counter, RealScalarLike, add_pair, checked, guard


class EpisodicMemory(eqx.Module):
    """The embeddings of an episode, in a ring; of one lane.

    Attributes:
        keys: Embeddings; those not yet stored are zeros.
        size: How many are stored.
        position: Where the next one goes.
        mean_distance: Mean of the squared distances to neighbours seen so far, over episodes.
        mean_rest: What rounding took from that mean: steps far smaller than the mean still move it.
        distances: How many of them.
    """

    keys: Float[Array, "capacity features"]
    size: Int[Array, ""]
    position: Int[Array, ""]
    mean_distance: Float[Array, ""]
    mean_rest: Float[Array, ""]
    distances: Counter


@checked
def init_episodic_memory(capacity: int, features: int) -> EpisodicMemory:
    r"""Starts without embeddings.

    $$M = \varnothing, \qquad d_m^2 = 0$$

    Args:
        capacity: How many embeddings are kept; the oldest goes first.
        features: Length of an embedding.

    Returns:
        The memory of one lane; `vmap` it over lanes.

    Raises:
        ValueError: If `capacity` is not positive.

    Example:
        >>> init_episodic_memory(3, 2).keys.shape
        (3, 2)

    References:
        Badia et al., *Never Give Up: Learning Directed Exploration Strategies*, 2020, arXiv:2002.06038, section 2.
    """
    if capacity < 1:
        raise ValueError(f"init_episodic_memory: capacity must be at least 1; got {capacity}")
    # Each field has its own array: one buffer cannot be donated twice.
    size, position = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
    keys = jnp.zeros((capacity, features))
    return EpisodicMemory(keys, size, position, jnp.zeros(()), jnp.zeros(()), Counter.zero())


@checked
def clear_episodic_memory(memory: EpisodicMemory) -> EpisodicMemory:
    r"""Forgets the embeddings at the start of an episode, and keeps the mean distance.

    $$M = \varnothing$$

    Args:
        memory: The memory of one lane.

    Returns:
        The memory without embeddings.

    Example:
        >>> import jax.numpy as jnp
        >>> _, memory = episodic_novelty(init_episodic_memory(3, 2), jnp.ones(2), k=1)
        >>> int(memory.size), int(clear_episodic_memory(memory).size)
        (1, 0)

    References:
        Badia et al., *Never Give Up: Learning Directed Exploration Strategies*, 2020, arXiv:2002.06038, section 2.
    """
    keys, size, position = (jnp.zeros_like(each) for each in (memory.keys, memory.size, memory.position))
    return EpisodicMemory(keys, size, position, memory.mean_distance, memory.mean_rest, memory.distances)


@checked
def episodic_novelty(
    memory: EpisodicMemory,
    embedding: Float[Array, " features"],
    *,
    k: int = 10,
    kernel_epsilon: RealScalarLike = 1e-4,
    cluster_distance: RealScalarLike = 0.008,
    max_similarity: RealScalarLike = 8.0,
    c: RealScalarLike = 1e-3,
) -> tuple[Float[Array, ""], EpisodicMemory]:
    r"""The episodic bonus of Never Give Up: one over the root of a soft count of visits.

    $$b = \frac{1}{s} \text{ if } s \le s_{max}, \text{ else } 0; \qquad
    s = \sqrt{\sum_{f_i \in N_k} \frac{\epsilon}{\max(d_i^2 / d_m^2 - \xi, 0) + \epsilon}} + c$$

    $N_k$ are the `k` nearest embeddings stored, or as many as there are; $d_i$ are their Euclidean distances, and
    $d_m^2$ is the running mean of all such $d_i^2$, these included. A state like its neighbours has a bonus near
    $1/\sqrt k$. An empty memory has nothing to compare with: the bonus is 0. Where all distances so far are zero,
    $d_i^2 / d_m^2$ counts as zero. The embedding is stored after it was compared; one that is not finite gives NaN and
    leaves the memory as it was.

    Args:
        memory: The memory of one lane; clear it where an episode starts.
        embedding: $f(x)$ of the state, no unit; data, without gradient.
        k: How many neighbours are compared; static, at most the capacity.
        kernel_epsilon: $\epsilon > 0$. Section 2 of the paper says 1e-3, its table of hyperparameters 1e-4.
        cluster_distance: $\xi \ge 0$, below which a relative squared distance counts as none.
        max_similarity: $s_{max} > 0$.
        c: $c > 0$, which bounds the bonus by $1/c$.

    Returns:
        The bonus, and the memory with the embedding in it.

    Raises:
        ValueError: If `k` is not from 1 to the capacity, a knob is outside its range, or the embedding has not the
            length of those stored.

    Example:
        >>> import jax.numpy as jnp
        >>> _, memory = episodic_novelty(init_episodic_memory(3, 2), jnp.ones(2), k=1)
        >>> bonus, _ = episodic_novelty(memory, jnp.ones(2), k=1)  # the same again: 1/(1 + c)
        >>> round(float(bonus), 3)
        0.999

    References:
        Badia et al., *Never Give Up: Learning Directed Exploration Strategies*, 2020, arXiv:2002.06038, equations 2
        and 3, and algorithm 1.
    """
    capacity, features = memory.keys.shape
    if embedding.shape != (features,):
        raise ValueError(f"episodic_novelty: the memory holds {features} features; got {embedding.shape[0]}")
    if not 1 <= k <= capacity:
        raise ValueError(f"episodic_novelty: k must be from 1 to the capacity, {capacity}; got {k}")
    limits = _Limits.of(kernel_epsilon, cluster_distance, max_similarity, c, memory.keys.dtype)
    key = jax.lax.stop_gradient(embedding).astype(memory.keys.dtype)
    squares = jnp.sum(jnp.square(memory.keys - jnp.broadcast_to(key, memory.keys.shape)), axis=-1)
    stored = jnp.arange(capacity) < memory.size
    nearest = -jax.lax.top_k(jnp.where(stored, -squares, -jnp.inf), k)[0]
    here = jnp.arange(k) < memory.size
    nearest = jnp.where(here, nearest, 0)

    sane = jnp.all(jnp.isfinite(key)) & jnp.all(jnp.isfinite(nearest))
    one = sane.astype(jnp.int32)
    distances = memory.distances + jnp.where(sane, jnp.sum(here, dtype=jnp.int32), 0)
    step = jnp.sum(jnp.where(here & sane, (nearest - memory.mean_distance) - memory.mean_rest, 0))
    step = step / jnp.maximum(distances.as_float(), 1).astype(step.dtype)
    mean, rest = add_pair(memory.mean_distance, memory.mean_rest, step, jnp.zeros_like(step))
    bonus = jnp.where(sane, _bonus(nearest / jnp.where(mean == 0, 1, mean), here, limits), jnp.nan)

    keys = memory.keys.at[memory.position].set(jnp.where(sane, key, memory.keys[memory.position]))
    size = jnp.minimum(memory.size + one, capacity)
    position = (memory.position + one) % capacity
    return bonus.astype(embedding.dtype), EpisodicMemory(keys, size, position, mean, rest, distances)


class _Limits(eqx.Module):
    epsilon: Array
    cluster: Array
    similarity: Array
    constant: Array

    @staticmethod
    def of(kernel_epsilon, cluster_distance, max_similarity, c, dtype):
        """Checks the knobs and gives them a type."""
        name = "episodic_novelty"
        knobs = (
            guard(kernel_epsilon, lambda x: x > 0, f"{name}: kernel_epsilon must be above 0"),
            guard(cluster_distance, lambda x: x >= 0, f"{name}: cluster_distance must be at least 0"),
            guard(max_similarity, lambda x: x > 0, f"{name}: max_similarity must be above 0"),
            guard(c, lambda x: x > 0, f"{name}: c must be above 0"),
        )
        return _Limits(*(jnp.asarray(knob, dtype) for knob in knobs))


def _bonus(relative, here, limits):
    """Returns the bonus of squared distances in units of their mean."""
    far = jnp.maximum(relative - limits.cluster, 0)
    kernel = jnp.where(here, limits.epsilon / (far + limits.epsilon), 0)
    similarity = jnp.sqrt(jnp.sum(kernel)) + limits.constant
    silent = (similarity > limits.similarity) | ~jnp.any(here)
    return jnp.where(silent, 0, 1 / similarity)
