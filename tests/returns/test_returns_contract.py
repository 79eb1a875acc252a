"""What holds for every function of `returns`, beyond the laws of `tests/test_conformance.py`."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.test_util import check_grads

from bellmax.returns import gae, lambda_returns, n_step_returns
from cases import returns_basic, returns_off_policy, returns_trajectories
from helpers import assert_close, float32, trajectory

CASES = {**returns_basic.CASES, **returns_off_policy.CASES, **returns_trajectories.CASES}
CASES = {name: case for name, case in CASES.items() if "rewards" in case.draw(np.random.default_rng(0), (1,))}


def _three_step(rewards, discounts, next_values, lambdas):
    return n_step_returns(rewards, discounts, next_values, 3, lambdas)


def _gae(rewards, discounts, next_values, lambdas):
    return gae(2 * next_values, rewards, discounts, next_values, lambdas)


FUNCTIONS = {"lambda_returns": lambda_returns, "n_step_returns": _three_step, "gae": _gae}
every = pytest.mark.parametrize("name", FUNCTIONS)


@every
def test_time_lambda_beside_batched_rewards_goes_through_vmap(name):
    rewards, discounts, next_values, lambdas = float32(*trajectory()[1:])
    mapped = jax.vmap(FUNCTIONS[name], (1, 1, 1, None), 1)(rewards, discounts, next_values, lambdas[:, 0])
    full = jnp.broadcast_to(lambdas[:, :1], lambdas.shape)
    assert_close(mapped, FUNCTIONS[name](rewards, discounts, next_values, full), rtol=1e-6, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_near(name, dtype):
    args = trajectory()[1:]
    returns = FUNCTIONS[name](*(jnp.asarray(x, dtype) for x in args))
    assert_close(returns, FUNCTIONS[name](*float32(*args)), rtol=0.05, atol=0.1)


@every
def test_gradients_match_finite_differences_at_the_edges(name):
    with jax.enable_x64(True):
        rewards, discounts, next_values, lambdas = trajectory(time=5, batch=(), ends=False)[1:]
        discounts[1], lambdas[2], lambdas[3], lambdas[0] = 0, 0, 1, 1
        args = [jnp.asarray(x, jnp.float64) for x in (rewards, discounts, next_values, lambdas)]
        # The formula is a polynomial, so it goes on smoothly past the ends of [0, 1].
        check_grads(jax.jit(FUNCTIONS[name]), args, order=1, modes=("fwd", "rev"), rtol=1e-6, atol=1e-6)


@every
def test_integers_and_numpy_arrays_are_converted(name):
    _, _, discounts, next_values, lambdas = trajectory()
    rewards = np.arange(21).reshape(7, 3)
    returns = FUNCTIONS[name](rewards, discounts, next_values, lambdas)
    assert returns.dtype == jnp.float32
    assert_close(returns, FUNCTIONS[name](*float32(rewards, discounts, next_values, lambdas)))


@pytest.mark.parametrize("shape", [(7, 1), (7,), (3, 7), (7, 3, 1), (6, 3)])
@pytest.mark.parametrize("argument", [1, 2, 3])
def test_wrong_shapes_are_refused_by_name(shape, argument):
    args = list(float32(*trajectory()[1:]))
    args[argument] = jnp.ones(shape)
    name = ("rewards", "discounts", "next_values", "lambda_")[argument]
    with pytest.raises(jaxtyping.TypeCheckError, match=rf"(?s)lambda_returns.*{name}"):
        lambda_returns(*args)


@pytest.mark.parametrize("name", CASES)
def test_every_wrong_shape_is_refused_by_name_under_jit(name):
    case = CASES[name]
    drawn = case.draw(np.random.default_rng(0), (3,))
    arrays = {key: jnp.asarray(x, None if x.dtype.kind == "i" else jnp.float32) for key, x in drawn.items()}
    first = next(iter(arrays))
    for key in arrays:
        if key == first:  # what binds the axes that the others break
            continue
        wrong = {**arrays, key: arrays[key][:-1]}
        with pytest.raises(jaxtyping.TypeCheckError, match=rf"(?s){case.function.__name__}.*{key}"):
            jax.eval_shape(lambda chosen: case.function(**chosen, **case.static), wrong)


def test_missing_and_unknown_arguments_are_named():
    ones = jnp.ones(3)
    with pytest.raises(TypeError, match=r"lambda_returns.*next_values"):
        lambda_returns(ones, ones)
    with pytest.raises(TypeError, match=r"gae.*gamma"):
        gae(ones, ones, ones, ones, 0.5, gamma=1)
