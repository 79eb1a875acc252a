"""Replay in which all steps are alike."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from ._protocol import AbstractReplay, ReplayState, Sample, check_sizes, take
from ._store import Store


class UniformReplay(AbstractReplay):
    """Keeps the newest steps and draws from them uniformly, with replacement.

    A ring buffer for one lane; `jax.vmap` over its methods makes one a lane. Drawing costs the same at any capacity.

    Items may be any tree of arrays. Of `Transition`s each observation may be kept once only, and then the steps added
    must follow on each other: the successor of a step is read from the next one unless its episode ended.

    Attributes:
        capacity: How many steps are kept.
        sample_size: How many examples are drawn at a time.
        sequence_length: Consecutive steps an example, over the ends of episodes too, oldest first along a leading time
            axis; None for single steps, without that axis.
        final_capacity: How many final observations of episodes are kept beside one observation a step. A step whose
            final observation was written over is not whole, and masked. None to keep all while an observation takes at
            most 1 KiB, by storing both observations of a step, and else one for each 8 steps.

    Example:
        >>> replay = UniformReplay(capacity=8, sample_size=4)
        >>> state = replay.add(replay.init(jnp.zeros(2)), jnp.ones((3, 2)))
        >>> replay.sample(state, key=jax.random.key(0)).items.shape
        (4, 2)
    """

    capacity: int = eqx.field(static=True)
    sample_size: int = eqx.field(static=True)
    sequence_length: int | None = eqx.field(static=True, default=None)
    final_capacity: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_sizes(self)

    def init(self, example: PyTree[Array]) -> ReplayState:
        """Makes an empty memory for items like the example."""
        return ReplayState(Store.empty(example, self.capacity, self.final_capacity))

    def add(self, state: ReplayState, items: PyTree[Array]) -> ReplayState:
        """Adds items with a leading time axis, the oldest first, which follow on those added before."""
        return ReplayState(state.store.with_steps(items, self.capacity))

    def sample(self, state: ReplayState, *, key: Key[Array, ""]) -> Sample:
        """Draws `sample_size` examples; the memory must hold at least one, of `sequence_length` steps."""
        store = state.store
        starts = jnp.maximum(store.count - (self.sequence_length or 1) + 1, 1)
        ages = jax.random.randint(key, (self.sample_size,), 0, starts)
        slots = store.slots_from(ages - store.count)
        items, mask = take(store, slots, self.sequence_length)
        return Sample(items, slots, mask)

    def prioritise(self, state: ReplayState, sample: Sample, priority) -> ReplayState:
        """Changes nothing."""
        del sample, priority
        return state
