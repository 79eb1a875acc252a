"""What holds for every function of `returns`, beyond the laws of `tests/test_conformance.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from bellmax import returns
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


def test_long_recurrences_in_half_precision_add_up_in_float32():
    """A bfloat16 sum of tenths stops growing at 32; its spacing at 100 is a half."""
    tenth, one, zero = (jnp.full(1000, x, jnp.bfloat16) for x in (0.1, 1, 0))
    found = jax.jit(
        lambda: (
            returns.lambda_returns(tenth, one, zero),
            returns.discounted_returns(tenth, one),
            returns.n_step_returns(tenth, one, zero, 1000),
            returns.gae(zero, tenth, one, zero),
            returns.upgo_returns(zero, tenth, one, zero),
            returns.off_policy_returns(tenth, one, zero, zero, one),
            returns.vtrace(zero, tenth, one, zero, zero).returns,
            returns.n_step_transitions(tenth, one, 1000).reward,
        )
    )()
    for each in found:
        assert each.dtype == jnp.bfloat16
        assert abs(float(each[0]) - 100) <= 0.5


def _traced(name, **changes):
    """Traces a function over its case's arguments, with some of them left to what is given, which stays concrete."""
    case = CASES[name]
    drawn = {key: jnp.asarray(x, None if x.dtype.kind == "i" else jnp.float32) for key, x in _drawn(case).items()}
    static = {**case.static, **{key: value for key, value in changes.items() if key in drawn}}
    rest = {key: value for key, value in drawn.items() if key not in static}
    jax.eval_shape(lambda chosen: case.function(**chosen, **static), rest)


def _drawn(case, batch=(3,)):
    return case.draw(np.random.default_rng(0), batch)


@pytest.mark.parametrize("name", CASES)
def test_an_empty_trajectory_and_a_lambda_outside_are_refused_by_the_name_that_was_called(name):
    case = CASES[name]
    title = case.function.__name__
    empty = {
        key: jnp.asarray(x if key == "bootstrap_value" else x[:0], None if x.dtype.kind == "i" else jnp.float32)
        for key, x in _drawn(case).items()
    }
    with pytest.raises(ValueError, match=f"^{title}: a return needs at least one step"):
        jax.eval_shape(lambda chosen: case.function(**chosen, **case.static), empty)
    if title == "n_step_transitions":  # of its λ only whether it is 0 matters
        _traced(name, lambda_=2.0)
    elif "lambda_" in empty:
        for outside in (-0.1, 1.5, np.nan, jnp.float32(2)):
            with pytest.raises(ValueError, match=rf"^{title}: lambda_ must lie in \[0, 1\]; got"):
                _traced(name, lambda_=outside)
        _traced(name, lambda_=jnp.full((6, 3), 2.0))  # one a step is data


@every
def test_gradients_match_finite_differences_at_the_edges(name):
    with jax.enable_x64(True):
        rewards, discounts, next_values, lambdas = trajectory(time=5, batch=(), ends=False)[1:]
        discounts[1], lambdas[2], lambdas[3], lambdas[0] = 0, 0, 1, 1
        args = [jnp.asarray(x, jnp.float64) for x in (rewards, discounts, next_values, lambdas)]
        # The formula is a polynomial, so it goes on smoothly past the ends of [0, 1].
        check_grads(jax.jit(FUNCTIONS[name]), args, order=1, modes=("fwd", "rev"), rtol=1e-6, atol=1e-6)


def test_missing_and_unknown_arguments_are_named():
    ones = jnp.ones(3)
    with pytest.raises(TypeError, match=r"lambda_returns.*next_values"):
        lambda_returns(ones, ones)
    with pytest.raises(TypeError, match=r"gae.*gamma"):
        gae(ones, ones, ones, ones, 0.5, gamma=1)
