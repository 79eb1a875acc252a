"""Episodic novelty against a derivation in double precision, and against rlax where that is right."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from rlax._src.exploration import IntrinsicRewardState

import bellmax.exploration._episodic
from bellmax._core import Counter
from bellmax.exploration import EpisodicMemory, clear_episodic_memory, episodic_novelty, init_episodic_memory
from faults import changed
from helpers import assert_close, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)


def novelty_loop(embeddings, k, capacity, epsilon=1e-4, cluster=0.008, similarity=8.0, c=1e-3, stored=()):
    """Algorithm 1 of the paper, one embedding after the other, in double precision."""
    memory, total, count, bonuses = [np.asarray(each, np.float64) for each in stored], 0.0, 0, []
    for x in np.asarray(embeddings, np.float64):
        nearest = sorted(float(np.sum((x - y) ** 2)) for y in memory)[:k]
        total, count = total + sum(nearest), count + len(nearest)
        s = 0.0
        for square in nearest:
            relative = square / (total / count) if total > 0 else 0.0
            s += epsilon / (max(relative - cluster, 0.0) + epsilon)
        s = np.sqrt(s) + c
        bonuses.append(0.0 if not nearest or s > similarity else 1 / s)
        memory = [*memory, x][-capacity:]
    return np.array(bonuses)


@functools.partial(quick, static_argnames="k")
def scan(memory, embeddings, k):
    return jax.lax.scan(lambda memory, x: episodic_novelty(memory, x, k=k)[::-1], memory, embeddings)


def run(embeddings, k, capacity, memory=None):
    memory = init_episodic_memory(capacity, embeddings.shape[1]) if memory is None else memory
    memory, bonuses = scan(memory, jnp.asarray(embeddings, jnp.float32), k)
    return np.asarray(bonuses), memory


def mean_of(memory):
    return np.asarray(memory.mean_distance, np.float64) + np.asarray(memory.mean_rest, np.float64)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
def test_equals_the_loop_at_every_scale_past_the_end_of_the_ring(scale):
    rng = np.random.default_rng(0)
    # Walks with returns: some embeddings are near copies of earlier ones.
    embeddings = rng.normal(size=(40, 4))
    embeddings[20:30] = embeddings[12:22] + 1e-3 * rng.normal(size=(10, 4))
    embeddings = (scale * embeddings).astype(np.float32)
    bonuses, memory = run(embeddings, 3, 16)
    expected = novelty_loop(embeddings, 3, 16)
    assert_close(bonuses, expected, rtol=1e-4)
    assert (expected > 0).sum() > 30
    assert int(memory.size) == 16
    assert int(memory.position) == 40 % 16


def check_by_hand(module):
    # Stored (0, 0) and (2, 0); now (0, 1), k = 2: d² = 1 and 5, mean of {4} and {1, 5} = 10/3.
    # Relative 0.3, 1.5; less 0.008: 0.292, 1.492; K = ε/(· + ε) with ε = 0.1: 0.2551, 0.06281; s = 0.5639 + 0.001
    step = quick(functools.partial(module.episodic_novelty, k=2, kernel_epsilon=0.1))
    memory = module.init_episodic_memory(3, 2)
    for x in ([0.0, 0.0], [2.0, 0.0]):
        _, memory = step(memory, jnp.array(x))
    assert_close(memory.mean_distance, 4)
    bonus, memory = step(memory, jnp.array([0.0, 1.0]))
    assert_close(memory.mean_distance, 10 / 3)
    assert_close(bonus, 1 / (np.sqrt(0.1 / 0.392 + 0.1 / 1.592) + 0.001))
    assert int(memory.distances) == 3
    # The fourth takes the place of the first: (0, 1) and (2, 0) are left beside it at 0 and 5.
    _, memory = step(memory, jnp.array([0.0, 1.0]))
    assert_close(memory.keys, [[0, 1], [2, 0], [0, 1]])
    assert_close(memory.mean_distance, (10 + 0 + 1) / 5)
    cleared = module.clear_episodic_memory(memory)
    assert int(cleared.size) == int(cleared.position) == 0
    assert_close(cleared.mean_distance, memory.mean_distance)
    assert int(cleared.distances) == 5


def check_goes_on_counting_from_2_to_the_26(module):
    # A ring of one, and two embeddings in turn: every squared distance is 0.75, and moves the mean of 0.5 by 4e-9,
    # where half its last digit is 3e-8. A float32 does not count on from 2^26 either.
    start, steps = 2**26, 2**12
    one, zero = jnp.ones((), jnp.int32), jnp.zeros((), jnp.int32)
    mean, rest = jnp.float32(0.5), jnp.float32(0)
    memory = module.EpisodicMemory(jnp.zeros((1, 3)), one, zero, mean, rest, Counter.zero() + start)
    data = jnp.broadcast_to(0.5 * (jnp.arange(1, steps + 1.0)[:, None] % 2), (steps, 3))

    @jax.jit
    def run(memory, data):
        step = functools.partial(module.episodic_novelty, k=1)
        return jax.lax.scan(lambda memory, x: step(memory, x)[::-1], memory, data)[0]

    memory = run(memory, data)
    moved = 0.25 * steps / (start + steps)
    assert abs(mean_of(memory) - 0.5 - moved) < 1e-3 * moved
    assert int(memory.distances) == start + steps


@pytest.mark.parametrize("check", [check_by_hand, check_goes_on_counting_from_2_to_the_26])
def test_the_source_passes(check):
    check(bellmax.exploration._episodic)


@pytest.mark.parametrize(
    ("old", "new", "check"),
    [
        ("mean, rest = add_pair(memory.mean_distance, memory.mean_rest, step, jnp.zeros_like(step))",
         "mean, rest = memory.mean_distance + step, memory.mean_rest", check_goes_on_counting_from_2_to_the_26),
        ("nearest / jnp.where(mean == 0, 1, mean)", "nearest", check_by_hand),
        (" % capacity", "", check_by_hand),
        ("jnp.minimum(memory.size + one, capacity)", "memory.size", check_by_hand),
        ("relative - limits.cluster", "relative", check_by_hand),
        ("(nearest - memory.mean_distance) - memory.mean_rest", "nearest", check_by_hand),
        ("size, position, memory.mean_distance,", "size, position, jnp.zeros(()),", check_by_hand),
    ],
)  # fmt: skip
def test_the_fault_is_seen(old, new, check):
    faulty = changed("bellmax.exploration._episodic", old, new)
    with pytest.raises(AssertionError):
        check(faulty)


_rlax_step = quick(
    lambda x, k, scale, state, capacity: rlax.episodic_memory_intrinsic_rewards(
        x, k, scale, state, max_memory_size=capacity
    ),
    static_argnums=(1, 2, 4),
)


def _rlax_bonuses(points, embeddings, k, capacity):
    """Bonuses of rlax, one embedding a call, with memories that both libraries start from."""
    with lenient():
        state = IntrinsicRewardState(
            memory=jnp.full((capacity, points.shape[1]), jnp.inf).at[: len(points)].set(points),
            next_memory_index=len(points),
        )
        rewards = []
        for x in embeddings:
            reward, state = _rlax_step(jnp.asarray(x[None]), k, 1.0, state, capacity)
            rewards.append(float(reward[0]))
    return np.array(rewards)


def _ours(points, embeddings, k, capacity):
    keys = jnp.zeros((capacity, points.shape[1])).at[: len(points)].set(points)
    filled = jnp.int32(len(points))
    return run(
        embeddings, k, capacity, EpisodicMemory(keys, filled, filled, jnp.zeros(()), jnp.zeros(()), Counter.zero())
    )[0]


def test_equals_rlax_at_large_distances_and_not_at_small_ones():
    rng = np.random.default_rng(1)
    points, embeddings = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    far = 100 * points, 100 * embeddings
    assert_close(_ours(*far, 2, 12), _rlax_bonuses(*far, 2, 12), rtol=2e-5)
    # Mean squared distances below 1e-3: every one of rlax's bonuses is 1/(√2 + 0.001) = 0.7066.
    near = np.float32(1e-3) * points, np.float32(1e-3) * embeddings
    assert_close(_rlax_bonuses(*near, 2, 12), 0.7066, atol=1e-4)
    expected = novelty_loop(near[1], 2, 12, stored=near[0])
    assert (np.abs(expected - 0.7066) > 1).any()
    assert_close(_ours(*near, 2, 12), expected, rtol=1e-3)
    # Without the constant that rlax adds, the bonus does not know the unit of the embedding.
    assert_close(_ours(*near, 2, 12), _ours(*far, 2, 12), rtol=1e-3)


def test_a_state_seen_often_has_no_bonus_and_an_empty_memory_none():
    bonuses, memory = run(np.ones((12, 2)), 10, 20)
    assert bonuses[0] == 0
    assert_close(bonuses[1:], 1 / (np.sqrt(np.minimum(np.arange(1, 12), 10)) + 1e-3))
    often = quick(functools.partial(episodic_novelty, k=10, max_similarity=3.0))
    assert often(memory, jnp.ones(2))[0] == 0
    assert float(memory.mean_distance) == 0


def test_clearing_keeps_the_mean_distance():
    _, memory = run(np.random.default_rng(2).normal(size=(6, 2)), 2, 4)
    cleared = clear_episodic_memory(memory)
    assert int(cleared.size) == int(cleared.position) == 0
    assert_close(cleared.mean_distance, memory.mean_distance)
    assert int(cleared.distances) == 1 + 2 * 4
    bonuses, _ = run(np.ones((6, 2)), 2, 4, cleared)
    assert bonuses[0] == 0


def test_lanes_are_mapped():
    embeddings = jnp.asarray(np.random.default_rng(3).normal(size=(7, 3, 2)), jnp.float32)
    start = jax.vmap(lambda _: init_episodic_memory(5, 2))(jnp.arange(3))
    step = jax.vmap(lambda memory, x: episodic_novelty(memory, x, k=2)[::-1])
    _, bonuses = quick(lambda start, x: jax.lax.scan(step, start, x))(start, embeddings)
    for lane in range(3):
        assert_close(bonuses[:, lane], run(embeddings[:, lane], 2, 5)[0], rtol=1e-5)


def test_what_is_not_finite_shows_and_is_not_stored():
    _, memory = run(np.random.default_rng(4).normal(size=(3, 2)), 2, 4)
    step = quick(functools.partial(episodic_novelty, k=2))
    for bad in (jnp.nan, jnp.inf, 1e30):
        bonus, after = step(memory, jnp.array([bad, 0.0]))
        assert jnp.isnan(bonus)
        for one, other in zip(jax.tree.leaves(memory), jax.tree.leaves(after), strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_embedding_is_data():
    _, memory = run(np.random.default_rng(5).normal(size=(3, 2)), 2, 4)
    slope = quick(jax.grad(lambda x: episodic_novelty(memory, x, k=2)[0]))(jnp.ones(2))
    assert (np.asarray(slope) == 0).all()
    half = jnp.ones(2, jnp.bfloat16)
    assert jax.eval_shape(functools.partial(episodic_novelty, k=2), memory, half)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"k": 5}, "k must be from 1 to the capacity, 4; got 5"),
        ({"k": 0}, "k must be from 1 to the capacity, 4; got 0"),
        ({"k": 1, "kernel_epsilon": 0.0}, "kernel_epsilon must be above 0"),
        ({"k": 1, "cluster_distance": -1.0}, "cluster_distance must be at least 0"),
        ({"k": 1, "max_similarity": 0.0}, "max_similarity must be above 0"),
        ({"k": 1, "c": 0.0}, "c must be above 0"),
    ],
)
def test_messages(knobs, message):
    with pytest.raises(ValueError, match=f"episodic_novelty: {message}"):
        episodic_novelty(init_episodic_memory(4, 2), jnp.ones(2), **knobs)
    with pytest.raises(ValueError, match="episodic_novelty: the memory holds 2 features; got 1"):
        episodic_novelty(init_episodic_memory(4, 2), jnp.ones(1), k=1)
    with pytest.raises(ValueError, match="init_episodic_memory: capacity must be at least 1; got 0"):
        init_episodic_memory(0, 2)
