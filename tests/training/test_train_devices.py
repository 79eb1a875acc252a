"""Metrics across devices, and seeds mapped inside a mapped axis of devices."""

import jax
import pytest

from bellmax import training
from training import laws

MAKERS = [pytest.param(laws.small_ppo, id="ppo"), pytest.param(laws.small_dqn, id="dqn")]


@pytest.mark.parametrize("make", MAKERS)
def test_shared_half_is_the_same_on_every_device(make):
    laws.law_shared_half_is_the_same_on_every_device(laws.REAL, make)


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_metrics_do_not_depend_on_devices(make):
    trainer, start, step = laws.small_run(make)
    wanted = start
    for _ in range(4):  # for DQN two of them are warm-up
        wanted, wanted_metrics = step(wanted)
    parallel = training.Parallel(trainer, jax.devices()[:4], compiler=laws.fast_jit)
    state = parallel.place(jax.tree.map(lambda leaf: leaf.copy(), start))
    for _ in range(4):
        state, metrics = jax.block_until_ready(parallel.chunk(state, 1))
    for name, mean in wanted_metrics.items():
        assert float(metrics[name].weight) == float(mean.weight), name
        if float(mean.weight):
            assert abs(float(metrics[name].value) - float(mean.value)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("make", MAKERS)
def test_seeds_map_inside_devices(make):
    trainer, *_ = laws.small_run(make)
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
