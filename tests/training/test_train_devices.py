"""One device or more: the same numbers to rounding, by `pmap`, `shard_map` and a mapped axis that poses as devices."""

import functools

import jax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from bellmax import envs, training
from training import laws

MAKERS = [pytest.param(laws.small_ppo, id="ppo"), pytest.param(laws.small_dqn, id="dqn")]


@functools.cache
def one_device(make):
    """Runs four steps on one device: for DQN two of them are warm-up."""
    trainer, start, step = laws.small_run(make)
    state = start
    for _ in range(4):
        state, metrics = step(state)
    return trainer, start, state, metrics


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_weight_of_a_metric_does_not_depend_on_devices(make):
    *_, wanted = one_device(make)
    _, metrics = sharded(make, 4)
    for name, mean in wanted.items():
        assert float(metrics[name].weight) == float(mean.weight), name


def assert_same_run(found, found_metrics, wanted, wanted_metrics):
    assert laws.largest_difference(found.shared.algorithm, wanted.shared.algorithm) < 1e-6
    laws.assert_equal(found.shared.steps, wanted.shared.steps)
    joined = jax.tree.map(lambda leaf, like: leaf.reshape(like.shape), found.local.lanes, wanted.local.lanes)
    assert laws.largest_difference(joined, wanted.local.lanes) < 1e-6
    for name, mean in wanted_metrics.items():
        if float(mean.weight):
            assert abs(float(found_metrics[name].value) - float(mean.value)) < 1e-4
        else:
            assert float(found_metrics[name].weight) == 0


@pytest.mark.parametrize("make", MAKERS)
def test_shared_half_is_the_same_on_every_device(make):
    laws.law_shared_half_is_the_same_on_every_device(laws.REAL, make)


@pytest.mark.parametrize("make", MAKERS)
def test_a_shared_half_that_differs_is_found_without_devices(make):
    # The check above can fail: a lane's own number in the shared half is refused.
    trainer = training.Trainer(make(), envs.Chain(), 4)

    def step(state, axis_name):
        new, metrics = trainer.step(state, axis_name=axis_name)
        return training.TrainState((new.shared, new.local.lanes.episode_length.sum()), new.local), metrics

    start = jax.eval_shape(trainer.init, jax.random.key(0))
    local = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((2, leaf.shape[0] // 2, *leaf.shape[1:]), leaf.dtype), start.local
    )
    with pytest.raises(ValueError, match="out_axes"):
        jax.eval_shape(laws.on_devices(step), training.TrainState(start.shared, local))


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_pmap_on_two_devices_equals_one(make):
    trainer, start, wanted, wanted_metrics = one_device(make)
    step = jax.pmap(
        lambda state: trainer.step(state, axis_name="devices"),
        axis_name="devices",
        in_axes=(laws.PREFIX,),
        out_axes=(laws.PREFIX, None),
        devices=jax.devices()[:2],
    )
    state = laws.cut(start, 2)
    for _ in range(4):
        state, metrics = step(state)
    assert_same_run(state, metrics, wanted, wanted_metrics)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("devices", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_shard_map_equals_one_device(make, devices):
    _, _, wanted, wanted_metrics = one_device(make)
    state, metrics = sharded(make, devices)
    assert_same_run(state, metrics, wanted, wanted_metrics)
    # What is shared is bit for bit the same on every device.
    for leaf in jax.tree.leaves(state.shared.algorithm):
        shards = [shard.data for shard in leaf.addressable_shards]
        assert len(shards) == devices
        for shard in shards[1:]:
            laws.assert_equal(shards[0], shard)


@functools.cache
def sharded(make, devices):
    """Runs the same four steps under `shard_map`."""
    trainer, start, *_ = one_device(make)
    mesh = jax.make_mesh((devices,), ("devices",), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices])
    prefix = training.TrainState(P(), P("devices"))
    step = laws.fast_jit(
        jax.shard_map(
            lambda state: trainer.step(state, axis_name="devices"),
            mesh=mesh,
            in_specs=(prefix,),
            out_specs=(prefix, P()),
            check_vma=False,
        ),
        donate_argnums=0,
    )
    shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), prefix, is_leaf=lambda leaf: isinstance(leaf, P))
    state = jax.tree.map(lambda leaf: leaf.copy(), start)
    state = training.TrainState(
        jax.device_put(state.shared, shardings.shared), jax.device_put(state.local, shardings.local)
    )
    for _ in range(4):
        state, metrics = step(state)
    return state, metrics


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_seeds_map_inside_devices(make):
    trainer, *_ = one_device(make)
    keys = jax.random.split(jax.random.key(3), 2)
    seeds = laws.fast_jit(jax.vmap(trainer.init))(keys)
    step = laws.fast_jit(jax.vmap(trainer.step))
    wanted = seeds
    local = jax.tree.map(lambda leaf: leaf.reshape(2, 2, 2, *leaf.shape[2:]).swapaxes(0, 1), seeds.local)
    spread = laws.fast_jit(
        jax.vmap(
            jax.vmap(lambda state: trainer.step(state, axis_name="devices")),
            in_axes=(laws.PREFIX,),
            out_axes=(laws.PREFIX, None),
            axis_name="devices",
        )
    )
    state = training.TrainState(seeds.shared, local)
    for _ in range(4):
        wanted, _ = step(wanted)
        state, _ = spread(state)
    assert laws.largest_difference(state.shared.algorithm, wanted.shared.algorithm) < 1e-6
