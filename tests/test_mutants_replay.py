"""Faults planted in replay, one at a time: a test of `tests/replay` that the real code passes must fail."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import pytest

import faults
from replay import test_prioritised_replay as prioritised
from replay import test_store as store
from replay import test_sum_tree as sum_tree
from replay import test_uniform_replay as uniform

# In the order of their imports, so that each takes what those before it define.
MODULES = ("_layout", "_store", "_sum_tree", "_protocol", "_uniform", "_prioritised")
NAMES = ("UniformReplay", "PrioritisedReplay", "Store", "SumTree", "importance_weights")


class Fault(NamedTuple):
    module: str
    old: str
    new: str
    test: Callable[[], None]


steps_come_back = functools.partial(store.test_steps_come_back_as_they_went_in, 2, ((3, 0.4),))
ring = functools.partial(uniform.test_ring_holds_the_newest_and_never_an_empty_slot, 12, 4)
partial_ring = functools.partial(uniform.test_ring_holds_the_newest_and_never_an_empty_slot, 3, 1)
follow_priorities = functools.partial(prioritised.test_draws_follow_priorities, 0.6)
whole_sequences = functools.partial(prioritised.test_sequences_are_drawn_once_they_are_whole, 4, 3)

FAULTS = {
    # What went in.
    "successor is the next slot over the end of an episode": Fault(
        "_store", "jnp.where(ended, count + final, ", "jnp.where(False, count + final, ", steps_come_back
    ),
    "truncated episodes have no final observation": Fault(
        "_store",
        "self._with_finals(items.terminated | items.truncated, slots)",
        "self._with_finals(items.terminated, slots)",
        steps_come_back,
    ),
    "final observation of the newest step is not kept": Fault(
        "_store", "[observation, following[-1:], following]", "[observation, observation[-1:], following]",
        steps_come_back,
    ),
    "a final observation that was written over passes for whole": Fault(
        "_store", "~ended | (_read(self.finals.owner, final) == slots)", "jnp.ones_like(ended)", steps_come_back
    ),
    "of too many ends at once the first are kept": Fault(
        "_store", "total - before <= room", "before < room", store.test_overflow_of_final_observations_in_one_addition
    ),
    "position runs out of the ring": Fault(
        "_store", "jnp.where(slots >= count, slots - count, slots)", "slots", store.test_positions_never_leave_the_ring
    ),
    "free slot counted as a step": Fault(
        "_store", "jnp.minimum(self.count + length, capacity)", "jnp.minimum(self.count + length, capacity + 1)", ring
    ),
    # Uniform draws.
    "empty slots are drawn": Fault("_uniform", "jax.random.randint(key, (self.sample_size,), 0, starts)",
        "jax.random.randint(key, (self.sample_size,), 0, self.capacity)", partial_ring),
    "the newest step is never drawn": Fault(
        "_uniform", "(self.sequence_length or 1) + 1, 1)", "(self.sequence_length or 1), 1)", ring
    ),
    "sequences run over the newest step": Fault(
        "_uniform", "store.count - (self.sequence_length or 1) + 1", "store.count",
        store.test_every_window_and_no_other_is_drawn,
    ),
    # Priorities.
    "exponent forgotten": Fault("_prioritised", "** self.exponent", "** 1.0", follow_priorities),
    "new steps begin at one, not at the largest": Fault(
        "_prioritised", "jnp.where(begins, priorities.largest, 0.0)", "jnp.where(begins, 1.0, 0.0)",
        prioritised.test_new_steps_get_the_largest_priority_seen,
    ),
    "sequences begin in the newest slots": Fault(
        "_prioritised", "begins & (jnp.arange(steps + length) < steps)", "begins", whole_sequences
    ),
    "a priority that is not finite counts": Fault(
        "_prioritised", "jnp.isfinite(priority) & (priority >= 0)", "jnp.ones_like(priority, bool)",
        functools.partial(prioritised.test_example_without_a_priority_is_never_drawn_again, float("nan")),
    ),
    "an example that is not finite keeps its priority": Fault(
        "_prioritised", "set(sample.slots, scaled, drawn)", "set(sample.slots, scaled, drawn & good)",
        functools.partial(prioritised.test_example_without_a_priority_is_never_drawn_again, float("nan")),
    ),
    "steps that are not whole change priorities": Fault(
        "_prioritised", "good & jnp.all(sample.mask.reshape(-1, good.size), axis=0)", "good",
        prioritised.test_what_is_not_whole_is_never_drawn_again,
    ),
    "weights without their sign": Fault(
        "_prioritised", "-exponent * jnp.log(", "exponent * jnp.log(", prioritised.test_weights_by_hand
    ),
    "largest weight of each device": Fault(
        "_prioritised", "largest if axis_name is None else jax.lax.pmax(largest, axis_name)", "largest",
        prioritised.test_weights_are_the_same_on_one_device_and_on_two,
    ),
    # Sums.
    "the last of several changes counts": Fault(
        "_sum_tree", '.max(values, mode="drop")', '.set(values, mode="drop")',
        functools.partial(sum_tree.test_largest_of_several_changes_counts_whatever_their_order, [3, 2, 1, 0]),
    ),
    "sums are not passed on upwards": Fault(
        "_sum_tree", "sums.reshape(-1).at[indices].set(changed)", "sums.reshape(-1).at[indices].add(changed)",
        sum_tree.test_sums_equal_their_parts_after_many_changes,
    ),
    "a draw may fall on zero": Fault(
        "_sum_tree", "(each <= draw * up_to[-1])", "(each < draw * up_to[-1])",
        sum_tree.test_draw_of_exactly_zero_falls_on_a_number_above_zero,
    ),
    "one draw for all levels": Fault(
        "_sum_tree", "jax.random.uniform(key, (len(self.levels), count))",
        "jnp.broadcast_to(jax.random.uniform(key, (1, count)), (len(self.levels), count))",
        sum_tree.test_draws_are_in_proportion_and_never_of_zero,
    ),
}  # fmt: skip


@pytest.fixture
def planted(monkeypatch):
    """Returns a function that plants a fault, or none, and shows the result to the tests of the folder."""

    def plant(fault: Fault | None) -> None:
        change = () if fault is None else (fault.module, fault.old, fault.new)
        found = faults.copies(monkeypatch, "bellmax.replay", MODULES, *change)
        for tests in (prioritised, store, sum_tree, uniform):
            for name in NAMES:
                monkeypatch.setattr(tests, name, found[name], raising=False)
        store.compiled.cache_clear()

    yield plant
    store.compiled.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_fault_planted_in_replay_is_found(name, planted):
    fault = FAULTS[name]
    planted(fault)
    with pytest.raises(AssertionError):
        fault.test()


@pytest.mark.slow
def test_replay_run_anew_without_a_fault_passes(planted):
    # Else a test could fail because of the way the modules are loaded, and every fault would seem found.
    planted(None)
    for fault in FAULTS.values():
        fault.test()
