"""Runs spread over devices: what is put where, what is refused, and what finds replicas that part.

That the numbers are those of one device is shown for every algorithm in `tests/test_devices.py`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from bellmax import algorithms, training
from bellmax.training import Parallel, assert_replicated, check_step
from training import laws

SEEDS = 4


@pytest.fixture(scope="module")
def small():
    """A trainer, its state at the start, and after two calls on one device."""
    trainer, start, step = laws.small_run(laws.small_ppo)
    after = start
    for _ in range(2):
        after, _ = step(after)
    return trainer, start, after


def spread(trainer, devices, how="shard_map", over="lanes", **settings):
    return Parallel(trainer, jax.devices()[:devices], how, over, compiler=laws.fast_jit, **settings)


@pytest.fixture(scope="module")
def two(small):
    return spread(small[0], 2)


@pytest.fixture(scope="module")
def seeds_alone(small):
    """The states of some seeds after two calls, on one device."""
    trainer, *_ = small
    keys = jax.random.split(jax.random.key(3), SEEDS)
    step = laws.fast_jit(jax.vmap(trainer.step))
    state = laws.fast_jit(jax.vmap(trainer.init))(keys)
    for _ in range(2):
        state, metrics = step(state)
    return keys, state, metrics


def test_first_state_is_that_of_the_trainer_and_lies_where_it_belongs(small, two):
    _, start, _ = small
    state = two.init(jax.random.key(0))
    laws.assert_equal(state, start)
    for leaf in jax.tree.leaves(state.shared):
        assert leaf.sharding.spec == P()
    for leaf in jax.tree.leaves(state.local):
        assert leaf.sharding.spec[0] == "devices"
        assert [shard.data.shape[0] for shard in leaf.addressable_shards] == [2, 2]


@pytest.mark.slow
def test_chunk_keeps_its_places_and_goes_on_with_another_number_of_devices(small, two):
    _, start, after = small
    state = two.place(jax.tree.map(lambda leaf: leaf.copy(), start))
    places = [leaf.sharding for leaf in jax.tree.leaves(state)]
    given = jax.tree.leaves(state.shared.algorithm)
    state, metrics = jax.block_until_ready(two.chunk(state, 1))
    assert [leaf.sharding for leaf in jax.tree.leaves(state)] == places
    assert all(leaf.is_deleted() for leaf in given)  # donated
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(metrics))
    one = spread(small[0], 1)
    state, _ = one.chunk(one.place(state), 1)
    assert laws.largest_difference(state.shared.algorithm, after.shared.algorithm) < 1e-6
    laws.assert_equal(state.shared.steps, after.shared.steps)


def test_another_mesh_may_be_set(small, two):
    mesh = jax.make_mesh((4,), ("x",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
        state, _ = jax.block_until_ready(two.chunk(two.init(jax.random.key(0)), 2))
    assert laws.largest_difference(state.shared.algorithm, small[2].shared.algorithm) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("how", ["shard_map", "pmap", "jit"])
@pytest.mark.parametrize(("over", "devices"), [("seeds", 2), ("seeds", 4), ("lanes", 2)])
def test_seeds_inside_devices_and_over_devices(small, seeds_alone, how, over, devices):
    keys, wanted, wanted_metrics = seeds_alone
    parallel = spread(small[0], devices, how, over)
    state, _ = jax.block_until_ready(parallel.chunk(parallel.init(keys), 1))
    state, metrics = jax.block_until_ready(parallel.chunk(state, 1))
    assert laws.largest_difference(state.shared.algorithm, wanted.shared.algorithm) < 1e-6
    laws.assert_equal(state.local.lanes.environment, wanted.local.lanes.environment)
    laws.assert_equal(metrics["episode_return"].weight, wanted_metrics["episode_return"].weight)
    assert (state.shared.steps.low.sharding.spec == P("devices")) == (over == "seeds")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["shard_map", "pmap", "jit"])
def test_one_seed_a_device_is_trained_as_if_alone(how):
    # Bit for bit: with one seed on a device nothing is mapped, so a condition computes one of its sides; not under jit.
    trainer, *_ = laws.small_run(laws.small_dqn)
    keys = jax.random.split(jax.random.key(3), 2)
    alone = laws.fast_jit(functools.partial(training.train_chunk, trainer))
    parallel = spread(trainer, 2, how, "seeds")
    found, _ = jax.block_until_ready(parallel.chunk(parallel.init(keys), 4))
    for place, key in enumerate(keys):
        wanted, _ = alone(laws.fast_jit(trainer.init)(key), 4)
        mine = jax.tree.map(lambda leaf, place=place: leaf[place], found).shared
        if how == "jit":  # here the compiler takes a mapped program apart
            assert laws.largest_difference(mine, wanted.shared) < 1e-6
        else:
            laws.assert_equal(mine, wanted.shared)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"devices": 3}, r"environments \(num_envs\).*got 3 devices for 4"),
        ({"how": "xmap"}, "how must be one of shard_map, pmap, jit; got 'xmap'"),
        ({"over": "actors"}, "spread must be one of lanes, seeds; got 'actors'"),
    ],
)
def test_what_does_not_fit_is_refused(small, settings, message):
    with pytest.raises(ValueError, match=message):
        spread(small[0], **{"devices": 2} | settings)


def test_seeds_that_devices_do_not_divide_are_refused(small):
    parallel = spread(small[0], 2, over="seeds")
    with pytest.raises(ValueError, match="got 2 devices for 3"):
        parallel.init(jax.random.split(jax.random.key(0), 3))
    with pytest.raises(ValueError, match="keys of seeds along one axis"):
        parallel.init(jax.random.key(0))


class Forgetful(algorithms.AbstractAlgorithm):
    """Another algorithm, without its means across devices."""

    inner: algorithms.AbstractAlgorithm

    @property
    def requirements(self):
        return self.inner.requirements

    def init(self, spaces, *, key):
        return self.inner.init(spaces, key=key)

    def init_memory(self, spaces):
        return self.inner.init_memory(spaces)

    def act(self, state, observation, memory, *, step, key, explore=True):
        return self.inner.act(state, observation, memory, step=step, key=key, explore=explore)

    def update(self, state, batch, *, step, key, axis_name=None):
        return self.inner.update(state, batch, step=step, key=key)


@pytest.fixture(scope="module")
def forgetful(small):
    return training.Trainer(Forgetful(laws.small_ppo()), small[0].environment, 4)


def test_a_forgotten_mean_is_found_by_types_alone(small, forgetful):
    check_step(small[0])
    with pytest.raises(ValueError, match=r"step of Forgetful gives every device a shared\.algorithm\.\S+ of its own"):
        spread(forgetful, 2)
    spread(forgetful, 2, how="jit")  # where the compiler sees to it, nothing can be forgotten


@pytest.mark.parametrize("how", ["shard_map", pytest.param("pmap", marks=pytest.mark.slow)])
def test_replicas_that_part_are_found_and_named(forgetful, how):
    parallel = spread(forgetful, 2, how, check=False)
    state = parallel.init(jax.random.key(0))
    assert_replicated(state.shared)
    state, _ = jax.block_until_ready(parallel.chunk(state, 1))
    with pytest.raises(RuntimeError, match=r"replicas have parted: \.algorithm\.\S+ .*device 0 and on device 1, by"):
        assert_replicated(state.shared)


def test_replicas_are_told_from_parts(two):
    state = two.init(jax.random.key(0))
    with pytest.raises(ValueError, match="cut into devices"):
        assert_replicated(state.local)


def test_bits_count_in_a_comparison_of_replicas():
    mesh = spread_mesh()
    part = functools.partial(jax.device_put, device=jax.devices()[0])
    whole = jax.make_array_from_single_device_arrays(
        (2,),
        jax.sharding.NamedSharding(mesh, P()),
        [part(jnp.array([0.0, 1.0])), jax.device_put(jnp.array([-0.0, 1.0]), jax.devices()[1])],
    )
    with pytest.raises(RuntimeError, match="replicas have parted"):
        assert_replicated({"x": whole})
    nan = jnp.full(2, np.nan)
    same = jax.make_array_from_single_device_arrays(
        (2,), jax.sharding.NamedSharding(mesh, P()), [part(nan), jax.device_put(nan, jax.devices()[1])]
    )
    assert_replicated({"x": same})


def spread_mesh():
    return jax.make_mesh((2,), ("x",), axis_types=(AxisType.Auto,), devices=jax.devices()[:2])
