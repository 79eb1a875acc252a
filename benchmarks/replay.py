"""What replay costs at 1e4 and at 1e6 slots: a draw, an addition, a change of priorities, and memory.

    python benchmarks/replay.py

Each figure is of a compiled loop over calls that depend on each other, so that what it costs to enter a compiled
function does not show; the sizes take turns, round by round, and the medians are of the rounds.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp

from bellmax.algorithms import Transition
from bellmax.replay import PrioritisedReplay, UniformReplay

CAPACITIES = (10_000, 1_000_000)
CALLS = 2000


def example(shape=(4,), dtype=jnp.float32):
    observation, no = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct((), jnp.bool_)
    action, reward = jax.ShapeDtypeStruct((), jnp.int32), jax.ShapeDtypeStruct((), jnp.float32)
    return Transition(observation, action, reward, observation, no, no)


def replays(capacity, batch_size):
    sizes = {"capacity": capacity, "sample_size": batch_size}
    return {
        "uniform": UniformReplay(**sizes),
        "uniform, sequences of 5": UniformReplay(**sizes, sequence_length=5),
        "uniform, observations once": UniformReplay(**sizes, final_capacity=capacity // 8),
        "prioritised": PrioritisedReplay(**sizes, exponent=0.6),
    }


def filled(replay):
    """Fills a replay with steps whose rewards are random, in episodes of some twenty steps."""
    steps = replay.capacity
    key = jax.random.key(0)
    no = jnp.zeros(steps, bool)
    observation = jax.random.normal(key, (steps, 4))
    reward, ends = jax.random.uniform(key, (steps,)), jax.random.uniform(key, (steps,)) < 0.05
    items = Transition(observation, jnp.zeros(steps, jnp.int32), reward, observation, ends, no)
    length = replay.sequence_length or 1
    if isinstance(replay, PrioritisedReplay):
        items = jax.tree.map(lambda leaf: leaf[: steps - length], items)
    return jax.jit(lambda items: replay.add(replay.init(example()), items))(items)


def programs(replay):
    """Returns what is timed, by name: maps the memory and a key to the memory and a number."""

    def draw(state, key):
        sample = replay.sample(state, key=key)
        return state, sum(jnp.sum(leaf, dtype=jnp.float32) for leaf in jax.tree.leaves(sample.items))

    def add(state, key):
        reward, no = jax.random.uniform(key, (1,)), jnp.zeros(1, bool)
        observation = jnp.broadcast_to(reward, (1, 4))
        step = Transition(observation, jnp.zeros(1, jnp.int32), reward, observation, no, no)
        return replay.add(state, step), reward[0]

    def prioritise(state, key):
        sample = replay.sample(state, key=key)
        state = replay.prioritise(state, sample, sample.items.reward)
        return state, jnp.sum(sample.items.reward)

    found = {"sample": draw, "add": add}
    return found | ({"sample and prioritise": prioritise} if isinstance(replay, PrioritisedReplay) else {})


def compiled(program, state):
    def run(state, key):
        def call(number, carry):
            state, total = carry
            state, more = program(state, jax.random.fold_in(key, number + (total > 1e30)))
            return state, total + more

        return jax.lax.fori_loop(0, CALLS, call, (state, jnp.zeros(())))

    return jax.jit(run, donate_argnums=0).lower(state, jax.random.key(0)).compile()


def measure(rounds, batch_size):
    rows = {}
    for capacity in CAPACITIES:
        for name, replay in replays(capacity, batch_size).items():
            state = filled(replay)
            for what, program in programs(replay).items():
                rows.setdefault((name, what), []).append([compiled(program, state), state, []])
    for number in range(rounds + 1):
        for sizes in rows.values():
            for row in sizes if number % 2 else sizes[::-1]:
                state, key = jax.block_until_ready(
                    (jax.tree.map(lambda leaf: leaf.copy(), row[1]), jax.random.key(number))
                )
                start = time.process_time()
                jax.block_until_ready(row[0](state, key))
                row[2].append(1e6 * (time.process_time() - start) / CALLS)
    return {key: [statistics.median(row[2][1:]) for row in sizes] for key, sizes in rows.items()}


def show_memory():
    print("\nbytes at 1e6 slots, over those of the observations once:")
    for name, shape, dtype in (("84 x 84 x 4 uint8", (84, 84, 4), jnp.uint8), ("4 float32", (4,), jnp.float32)):
        item = example(shape, dtype)
        once = 10**6 * item.observation.size * item.observation.dtype.itemsize
        for kind, replay in replays(10**6, 32).items():
            state = jax.eval_shape(lambda replay=replay, item=item: replay.init(item))
            size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
            print(f"  {name:18} {kind:27} {size:16,} = {size / once:6.3f} x {once:,}")
    replay = UniformReplay(10_000, 32)
    state = jax.jit(lambda: replay.init(example((84, 84, 4), jnp.uint8)))()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(jax.block_until_ready(state)))
    print(
        f"  measured, 84 x 84 x 4 uint8 at 1e4 slots: {size:,} = {size / (10_000 * 84 * 84 * 4):.3f} x the observations"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=128)
    options = parser.parse_args()
    print(f"microseconds of CPU a call, {options.batch_size} examples a draw; medians of {options.rounds} rounds")
    for (name, what), (small, large) in measure(options.rounds, options.batch_size).items():
        print(f"  {name:27} {what:22} {small:8.2f} at 1e4, {large:8.2f} at 1e6: ratio {large / small:.2f}", flush=True)
    show_memory()


if __name__ == "__main__":
    main()
