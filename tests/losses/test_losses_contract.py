"""What holds for every function of `losses`."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.test_util import check_grads

from bellmax import losses
from helpers import action_values, assert_close


def _numbers(count):
    def draw(batch):
        return tuple(np.random.default_rng(0).normal(size=(count, *batch)))

    return draw


def _values(count):
    def draw(batch):
        size = int(np.prod(batch))
        return tuple(x.reshape(*batch, *x.shape[1:]) for x in action_values(0, size))[:count]

    return draw


# Function, its arguments for given batch axes, and which of them are predictions: the others are data.
LOSSES = {
    "ppo_clip_loss": (losses.ppo_clip_loss, _numbers(2)),
    "value_loss": (losses.value_loss, _numbers(2)),
    "clipped_value_loss": (losses.clipped_value_loss, _numbers(3)),
    "q_learning_error": (losses.q_learning_error, _values(5)),
    "double_q_learning_error": (losses.double_q_learning_error, _values(6)),
}
every = pytest.mark.parametrize("name", LOSSES)


def _arguments(name, batch, dtype=jnp.float32):
    _, draw = LOSSES[name]
    return [jnp.asarray(x, jnp.int32 if x.dtype == np.int32 else dtype) for x in draw(batch)]


def test_the_table_names_every_public_function():
    public = {name for name, thing in vars(losses).items() if callable(thing) and not name.startswith("_")}
    assert public == {*LOSSES, "masked_mean"}


@every
def test_batch_axes_equal_vmap_equal_a_loop(name):
    function, _ = LOSSES[name]
    args = _arguments(name, (2, 3))
    native = function(*args)
    assert native.shape == (2, 3)
    assert_close(jax.vmap(jax.vmap(function))(*args), native, rtol=1e-6, atol=1e-6)
    one = jax.jit(function)
    looped = [[one(*(x[i, j] for x in args)) for j in range(3)] for i in range(2)]
    assert_close(np.array(looped), native, rtol=1e-6, atol=1e-6)


@every
def test_jit_equals_eager(name):
    function, _ = LOSSES[name]
    args = _arguments(name, (6,))
    assert_close(jax.jit(function)(*args), function(*args), rtol=1e-6, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_type_in_is_type_out(name, dtype):
    function, _ = LOSSES[name]
    loss = function(*_arguments(name, (6,), dtype))
    assert loss.dtype == dtype
    assert_close(loss, function(*_arguments(name, (6,))), rtol=0.05, atol=0.1)


@every
def test_float64_is_float64_and_the_gradient_matches_finite_differences(name):
    function, _ = LOSSES[name]
    with jax.enable_x64(True):
        prediction, *data = _arguments(name, (6,), jnp.float64)
        assert function(prediction, *data).dtype == jnp.float64
        only = jax.jit(lambda prediction: function(prediction, *data))
        check_grads(only, (prediction,), order=1, modes=("fwd", "rev"), rtol=1e-6, atol=1e-6)


@every
def test_integers_and_numpy_arrays_are_converted(name):
    function, draw = LOSSES[name]
    args = [np.round(3 * x).astype(np.int64) if x.dtype != np.int32 else x for x in draw((6,))]
    loss = function(*args)
    assert loss.dtype == jnp.float32
    as_float = [jnp.asarray(x, jnp.int32 if x.dtype == np.int32 else jnp.float32) for x in args]
    assert_close(loss, function(*as_float))


@every
def test_booleans_and_lists_are_refused(name):
    function, _ = LOSSES[name]
    args = _arguments(name, (6,))
    last = args[-1]
    for wrong in (last > 0, last.tolist()):
        with pytest.raises(jaxtyping.TypeCheckError, match=name):
            function(*args[:-1], wrong)


@every
def test_a_column_beside_a_row_is_refused(name):
    function, _ = LOSSES[name]
    args = _arguments(name, (6,))
    with pytest.raises(jaxtyping.TypeCheckError, match=name):
        function(*args[:-1], args[-1][:, None])


def test_masked_mean_is_the_one_of_the_core():
    assert float(losses.masked_mean(jnp.array([1.0, 5.0]), jnp.array([True, False]))) == 1


_UNCHECKED = """
import jax.numpy as jnp
from bellmax.losses import value_loss
from bellmax.policies import epsilon_greedy
from bellmax.returns import lambda_returns
assert value_loss(jnp.ones((3, 1)), jnp.ones(3)).shape == (3, 3)
assert value_loss(1, 3) == 2
assert epsilon_greedy(jnp.ones(2), 0.5).probs.shape == (2,)
assert lambda_returns(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 2)), 0.5).shape == (3, 2)
try:
    epsilon_greedy(jnp.ones(2), 2.0)
except ValueError:
    print("unchecked")
"""


def test_an_environment_variable_turns_the_checks_off_and_leaves_the_conversions_and_ranges():
    environment = {**os.environ, "JAXTYPING_DISABLE": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _UNCHECKED], env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert run.stdout.strip() == "unchecked", run.stderr
