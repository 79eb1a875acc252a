"""Replay in proportion to priorities."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import RealScalarLike, guard
from ._protocol import AbstractReplay, ReplayState, Sample, check_sizes, take
from ._store import Store
from ._sum_tree import SumTree

_SMALLEST = 1e-6
"""ε: an example without any error is drawn now and then all the same."""
_LARGEST = 1e30
"""Of priorities to the power α, so that they do not overflow when added up."""


class Priorities(eqx.Module):
    """What steps are drawn by.

    Attributes:
        tree: Priority to the power α of the example that begins in each slot; zero where none does.
        largest: The largest of them that was ever given.
    """

    tree: SumTree
    largest: Float[Array, "*lanes"]


class PrioritisedReplay(AbstractReplay):
    r"""Keeps the newest steps and draws them in proportion to their priorities, with replacement.

    $$P(i) = \frac{p_i^\alpha}{\sum_k p_k^\alpha}$$

    New examples get the largest priority seen so far in this lane, at first 1. A draw, an addition and a change cost
    the logarithm of the capacity. For one lane, as `UniformReplay`, and with the same items.

    Attributes:
        capacity: How many steps are kept.
        sample_size: How many examples are drawn at a time.
        exponent: α: 0 draws uniformly, 1 in proportion to the priority.
        sequence_length: Consecutive steps an example; its priority is that of the slot of its first step. None for
            single steps.
        final_capacity: How many final observations are kept, as in `UniformReplay`.

    Example:
        >>> replay = PrioritisedReplay(capacity=8, sample_size=4, exponent=0.6)
        >>> state = replay.add(replay.init(jnp.zeros(2)), jnp.ones((3, 2)))
        >>> sample = replay.sample(state, key=jax.random.key(0))
        >>> state = replay.prioritise(state, sample, jnp.array([0.0, 1.0, 2.0, 3.0]))

    References:
        Schaul et al., *Prioritized Experience Replay*, 2015, arXiv:1511.05952, the proportional variant. Draws are
        independent here, not one from each of equal shares of the total.
    """

    capacity: int = eqx.field(static=True)
    sample_size: int = eqx.field(static=True)
    exponent: RealScalarLike
    sequence_length: int | None = eqx.field(static=True, default=None)
    final_capacity: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_sizes(self)
        guard(self.exponent, lambda x: x >= 0, "PrioritisedReplay: exponent must not be negative")

    def init(self, example: PyTree[Array]) -> ReplayState:
        """Makes an empty memory for items like the example."""
        priorities = Priorities(SumTree.zeros(self.capacity + 1), jnp.ones(()))
        return ReplayState(Store.empty(example, self.capacity, self.final_capacity), priorities)

    def add(self, state: ReplayState, items: PyTree[Array]) -> ReplayState:
        """Adds items with a leading time axis, the oldest first, which follow on those added before."""
        steps, length = jax.tree.leaves(items)[0].shape[0], self.sequence_length or 1
        if steps + length - 1 > self.capacity:
            raise ValueError(
                f"PrioritisedReplay: {steps} steps at once with sequences of {length} do not fit into {self.capacity}"
            )
        store, priorities = state.store, state.priorities
        # With each step one sequence becomes whole; none begins yet in the newest slots, nor any more in the free one.
        slots = store.slots_from(jnp.arange(steps + length) - (length - 1))
        begins = jnp.arange(steps + length) + store.count >= length - 1
        begins = begins & (jnp.arange(steps + length) < steps)
        tree = priorities.tree.set(slots, jnp.where(begins, priorities.largest, 0.0))
        return ReplayState(store.with_steps(items, self.capacity), Priorities(tree, priorities.largest))

    def sample(self, state: ReplayState, *, key: Key[Array, ""]) -> Sample:
        """Draws `sample_size` examples; a chance of 0 says that no priority is above 0."""
        tree = state.priorities.tree
        slots = tree.draw(self.sample_size, key=key)
        total = tree.total
        chance = tree.get(slots) / jnp.where(total > 0, total, 1)
        items, mask = take(state.store, slots, self.sequence_length)
        return Sample(items, slots, mask, chance)

    def prioritise(self, state: ReplayState, sample: Sample, priority: Float[Array, " sample"] | None) -> ReplayState:
        """Gives drawn examples new priorities.

        Of an example drawn more than once the largest counts. An example that nothing can be learned from is not drawn
        any more: one whose priority is negative or not finite, or with a step that is not whole. Kept at the priority
        of new ones it would soon be drawn more than all others.

        Args:
            state: The memory, as drawn from; only its priorities may have changed since.
            sample: What was drawn.
            priority: p of each example; below 1e-6 it counts as that.

        Returns:
            The memory.
        """
        if priority is None:
            raise ValueError("PrioritisedReplay: an update must return the priority of each example in its feedback")
        good = jnp.isfinite(priority) & (priority >= 0)
        if sample.mask is not None:
            good = good & jnp.all(sample.mask.reshape(-1, good.size), axis=0)
        scaled = jnp.minimum(jnp.maximum(jnp.where(good, priority, 1.0), _SMALLEST) ** self.exponent, _LARGEST)
        drawn = True if sample.chance is None else sample.chance > 0
        scaled = jnp.where(good & drawn, scaled, 0.0)
        priorities = state.priorities
        largest = jnp.maximum(priorities.largest, jnp.max(scaled))
        return ReplayState(state.store, Priorities(priorities.tree.set(sample.slots, scaled, drawn), largest))


def importance_weights(
    chance: Float[Array, "lanes sample"], exponent: RealScalarLike, axis_name: str | None = None
) -> Float[Array, "lanes sample"]:
    r"""Makes up for drawing some examples more often than others.

    $$w_i = \frac{P(i)^{-\beta}}{\max_j P(j)^{-\beta}}$$

    P is the probability in the whole batch, to which every lane gives as much; how many steps there are cancels. The
    maximum is over the batch of all devices.

    Args:
        chance: Probability of each example in a draw from its lane.
        exponent: β: 0 for no correction, 1 for all of it.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        Weights of at most 1; 0 where the chance is 0.

    Example:
        >>> importance_weights(jnp.array([[0.5, 0.25]]), 1.0).tolist()
        [[0.5, 1.0]]
    """
    drawn = chance > 0
    log_weight = -exponent * jnp.log(jnp.where(drawn, chance, 1))
    log_weight = jnp.where(drawn, log_weight, -jnp.inf)
    largest = jnp.max(log_weight)
    largest = largest if axis_name is None else jax.lax.pmax(largest, axis_name)
    return jnp.where(drawn, jnp.exp(log_weight - jnp.where(jnp.isfinite(largest), largest, 0)), 0)
