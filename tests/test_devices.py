"""Every algorithm of the contract's table on 1, 2 and 4 devices, in all ways: the same run."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs, training
from bellmax.experiment._configuration import ALGORITHMS
from bellmax.transforms import Moments
from test_contract import TABLE
from training import laws

UPDATES = 3
FAST = {"ppo", "dqn", "sac"}
TOLERANCE = {"float32": 1e-6, "float64": 1e-11}


class LastAction(laws.Around):
    """Another environment whose state shows the last action that arrived."""

    def own(self):
        return jnp.zeros_like(jnp.asarray(self.spaces.action.sample()))

    def step(self, state, action, *, key):
        inner, step = self.inner.step(state[0], action, key=key)
        return (inner, action.astype(state[1].dtype)), step


def trainer_of(factory, environment, lanes):
    return training.Trainer(factory(), LastAction(envs.make(environment)), lanes)


def settings(factory, precision):
    """A larger ε keeps a gradient that is rounding error from becoming a whole step of Adam's; and statistics of
    float32 observations are float32, whatever the precision."""
    fields = {field.name for field in dataclasses.fields(factory())}
    wanted = {"adam_epsilon": 1e-5}
    if precision == "float64":
        wanted |= {"normalise_observations": False, "normalise_rewards": False}
    return {name: value for name, value in wanted.items() if name in fields}


def difference(one, other):
    """The largest difference between two states, of statistics relative to their size."""

    def of(a, b):
        if not isinstance(a, Moments):
            return laws.largest_difference(a, b) if eqx.is_inexact_array_like(a) else 0.0
        pairs = [(a.mean, a.mean_rest, b.mean, b.mean_rest), (a.variance, a.variance_rest, b.variance, b.variance_rest)]
        return max(float(np.max(np.abs((x - y) + (p - q)) / np.maximum(1, np.abs(x)))) for x, p, y, q in pairs)

    differences = jax.tree.map(of, one, other, is_leaf=lambda node: isinstance(node, Moments))
    return max(jax.tree.leaves(differences))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((row, precision), id=f"{row[0]}-{precision}",
                     marks=() if row[0] in FAST and precision == "float32" else pytest.mark.slow)
        for row in TABLE
        if row[0] in ALGORITHMS
        for precision in TOLERANCE
    ],
)  # fmt: skip
def run(request):
    """A trainer, its first state and the state after some updates on one device, without any of what is tested."""
    (_, factory, environment, lanes), precision = request.param
    with jax.enable_x64(precision == "float64"):
        trainer = trainer_of(functools.partial(factory, **settings(factory, precision)), environment, lanes)
        start = laws.fast_jit(trainer.init)(jax.random.key(0))
        calls = UPDATES + first_update(trainer)
        after, _ = laws.fast_jit(functools.partial(training.train_chunk, trainer))(start, calls)
        yield trainer, laws.host(start), start, laws.host(after), calls, precision


def first_update(trainer):
    """Returns how many calls of the step only warm up."""
    warm_up = getattr(trainer.algorithm.requirements, "warm_up", 0)
    return max(0, -(-warm_up // trainer.steps_per_call) - 1)


@pytest.mark.parametrize(
    ("how", "devices"),
    [
        ("shard_map", 2),
        *(pytest.param(how, 2, marks=pytest.mark.slow) for how in ("pmap", "jit")),
        *(pytest.param(how, n, marks=pytest.mark.slow) for how in ("shard_map", "pmap", "jit") for n in (1, 4)),
    ],
)
def test_same_run(run, how, devices):
    trainer, first, start, wanted, calls, precision = run
    with jax.enable_x64(precision == "float64"):
        parallel = training.Parallel(trainer, jax.devices()[:devices], how, check=False, compiler=laws.fast_jit)
        state, _ = jax.block_until_ready(parallel.chunk(parallel.place(copied(start)), calls))
        training.assert_replicated(state.shared)
        found = laws.host(state)
    assert laws.largest_difference(found.shared.algorithm, first.shared.algorithm) > 1e-5  # they did learn
    assert difference(found.shared.algorithm, wanted.shared.algorithm) <= TOLERANCE[precision]
    laws.assert_equal(found.shared.steps, wanted.shared.steps)
    lanes, wanted_lanes = found.local.lanes, wanted.local.lanes
    if np.issubdtype(wanted_lanes.environment[1].dtype, np.floating):
        assert laws.largest_difference(lanes, wanted_lanes) <= 1e-5
    else:
        laws.assert_equal(lanes.environment, wanted_lanes.environment)
        laws.assert_equal(lanes.observation, wanted_lanes.observation)


def copied(state):
    return jax.tree.map(lambda leaf: leaf.copy(), state)
