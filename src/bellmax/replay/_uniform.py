"""Uniform replay, on flashbax."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree


class UniformReplay(eqx.Module):
    """Keeps the newest transitions and draws from them uniformly, with replacement.

    A ring buffer for one lane; `jax.vmap` over its functions makes one a lane. Drawing costs the same at any capacity.

    Attributes:
        capacity: How many transitions are kept.
        sample_size: How many are drawn at a time.

    Example:
        >>> replay = UniformReplay(capacity=8, sample_size=4)
        >>> state = replay.add(replay.init(jnp.zeros(2)), jnp.ones((3, 2)))
        >>> replay.sample(state, key=jax.random.key(0)).shape
        (4, 2)
    """

    capacity: int = eqx.field(static=True)
    sample_size: int = eqx.field(static=True)

    def __check_init__(self):
        if not 1 <= self.sample_size <= self.capacity:
            raise ValueError(
                f"UniformReplay: capacity {self.capacity} must hold at least one sample of {self.sample_size}"
            )

    @functools.cached_property
    def _buffer(self):
        import flashbax

        return flashbax.make_item_buffer(
            max_length=self.capacity, min_length=1, sample_batch_size=self.sample_size, add_sequences=True
        )

    def init(self, example: PyTree[Array]) -> Any:
        """Makes an empty buffer for items like the example."""
        # flashbax counts with weakly typed numbers, which a checkpoint would bring back as strong ones.
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), self._buffer.init(example))

    def add(self, state: Any, items: PyTree[Array]) -> Any:
        """Adds items with a leading time axis, the oldest first."""
        return self._buffer.add(state, items)

    def sample(self, state: Any, *, key: Key[Array, ""]) -> PyTree[Array]:
        """Draws `sample_size` items; the buffer must not be empty."""
        return self._buffer.sample(state, key).experience
