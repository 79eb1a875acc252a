import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import returns
from cases.returns_trajectories import vtrace_sum
from helpers import assert_close, float32, lenient, trajectory

vtrace = jax.jit(returns.vtrace)
lambda_returns = jax.jit(returns.lambda_returns)


def experience(seed=0, truncations=True):
    """Draws the arguments of V-trace, with values that agree between steps but for ends."""
    values, rewards, discounts, next_values, lambdas = trajectory(seed)
    if not truncations:
        lambdas = np.where(lambdas == 0, 0.5, lambdas)
    ends = (discounts == 0) | (lambdas == 0)
    next_values[:-1] = np.where(ends[:-1], next_values[:-1], values[1:])
    log_ratio = np.random.default_rng(seed + 50).normal(size=values.shape)
    return float32(values, rewards, discounts, next_values, log_ratio, lambdas)


def test_by_hand():
    values, rewards, discounts, after = float32([1, 2, 3], [1, 1, 1], [0.5, 0.5, 0], [2, 3, np.inf])
    log_ratio = jnp.log(jnp.array([2.0, 0.5, 4.0]))
    found = vtrace(values, rewards, discounts, after, log_ratio)
    # ρ = c = 1, ½, 1. v₂ = 3 + (1 − 3) = 1
    # v₁ = 2 + ½(1 + 1.5 − 2) + ½·½(1 − 3) = 1.75; v₀ = 1 + (1 + 1 − 1) + ½·1(1.75 − 2) = 1.875
    assert_close(found.returns, [1.875, 1.75, 1])
    # q₀ = 1 + ½·1.75 = 1.875; q₁ = 1 + ½·1 = 1.5; q₂ = 1; times ρ: 0.875, −0.25, −2
    assert_close(found.q, [1.875, 1.5, 1])
    assert_close(found.advantage, [0.875, -0.25, -2])


def test_clips_by_hand():
    values, rewards, discounts, after = float32([1, 2, 3], [1, 1, 1], [0.5, 0.5, 0], [2, 3, np.inf])
    log_ratio = jnp.log(jnp.array([2.0, 0.5, 4.0]))
    found = returns.vtrace(
        values, rewards, discounts, after, log_ratio, rho_clip=3.0, c_clip=0.25, pg_rho_clip=2.0, alpha=0.5
    )
    # Half clipped, half not: ρ = 2, ½, 3.5; c = ½(¼, ¼, ¼) + ½(2, ½, 4) = 1.125, 0.375, 2.125; ρᵖᵍ = 2, ½, 3
    # v₂ = 3 + 3.5(1 − 3) = −4; v₁ = 2 + ½·½ + ½·0.375(−4 − 3) = 0.9375; v₀ = 1 + 2·1 + ½·1.125(0.9375 − 2)
    assert_close(found.returns, [3 - 0.5 * 1.125 * 1.0625, 0.9375, -4])
    # q₀ = 1 + ½·0.9375 = 1.46875; q₁ = 1 − 2 = −1; q₂ = 1
    assert_close(found.advantage, [2 * 0.46875, 0.5 * -3, 3 * -2])


def test_on_policy_is_the_lambda_return():
    args = trajectory(1)  # values that do not agree between steps included
    values, rewards, discounts, next_values, lambdas = float32(*args)
    found = vtrace(values, rewards, discounts, next_values, jnp.zeros_like(values), lambdas)
    expected = lambda_returns(rewards, discounts, next_values, lambdas)
    assert_close(found.returns, expected)
    assert_close(found.q, expected)
    assert_close(found.advantage, expected - values)


def test_lambda_zero_is_the_one_step_error():
    values, rewards, discounts, next_values, log_ratio, _ = experience(2)
    found = vtrace(values, rewards, discounts, next_values, log_ratio, jnp.zeros_like(values))
    error = rewards + discounts * next_values - values
    assert_close(found.returns, values + np.minimum(1, np.exp(log_ratio)) * error)
    assert_close(found.advantage, np.minimum(1, np.exp(log_ratio)) * error)


def test_a_value_that_is_right_everywhere_stays_whatever_the_ratios():
    # Reward 1 a step for ever at discount ½ is worth 2.
    twos, ones = jnp.full((7, 3), 2.0), jnp.ones((7, 3))
    log_ratio = jax.random.normal(jax.random.key(0), (7, 3)) * 20
    found = vtrace(twos, ones, 0.5 * ones, twos, log_ratio, ones)
    assert_close(found.returns, twos)
    assert_close(found.advantage, 0 * ones)


def test_nothing_clipped_is_importance_sampling_however_said():
    args = experience(3)
    leaky = vtrace(*args, alpha=0.0)
    unclipped = vtrace(*args, rho_clip=jnp.inf, c_clip=jnp.inf, pg_rho_clip=jnp.inf)
    for one, other in zip(jax.tree.leaves(leaky), jax.tree.leaves(unclipped), strict=True):
        assert_close(one, other)


def test_knobs_may_be_swept():
    args = experience(4)
    alphas = jnp.array([0.0, 1.0])
    swept = jax.jit(jax.vmap(lambda alpha, clip: returns.vtrace(*args, alpha=alpha, rho_clip=clip)))(alphas, 1 + alphas)
    for i, (alpha, clip) in enumerate(((0.0, 1.0), (1.0, 2.0))):
        expected = vtrace_sum(*(np.float64(x) for x in args), alpha=alpha, rho_clip=clip)
        for one, other in zip(jax.tree.leaves(swept), expected, strict=True):
            assert_close(one[i], other, rtol=1e-4, atol=1e-4)


def _as_rlax(args, ratio):
    values, rewards, discounts, next_values, _, lambdas = args
    return values, next_values, rewards, discounts, ratio, lambdas


@jax.jit
def _rlax(args):
    v, after, rewards, discounts, ratio, lambdas = _as_rlax(args, jnp.exp(args[4]))

    def one(v, after, rewards, discounts, ratio, lambdas):
        at = (v, after, rewards, discounts, ratio)
        return (
            rlax.vtrace(*at, lambdas, 1.3),
            rlax.leaky_vtrace(*at, 0.6, lambdas, 1.3),
            rlax.vtrace_td_error_and_advantage(*at, lambdas, 1.3, 1.7),
            rlax.leaky_vtrace_td_error_and_advantage(*at, 0.6, lambdas, 1.3, 1.7),
        )

    return jax.vmap(one, 1, 1)(v, after, rewards, discounts, ratio, lambdas)


@pytest.mark.parametrize("seed", [9, 10])
def test_errors_equal_rlax(seed):
    args = experience(seed)
    with lenient():
        errors, leaky, *_ = _rlax(args)
    assert_close(vtrace(*args, rho_clip=1.3).returns - args[0], errors)
    assert_close(vtrace(*args, rho_clip=1.3, alpha=0.6).returns - args[0], leaky)


@pytest.mark.parametrize("seed", [9, 10])
def test_advantages_equal_rlax_without_truncations(seed):
    args = experience(seed, truncations=False)
    with lenient():
        *_, clipped, leaky = _rlax(args)
    for theirs, knobs in ((clipped, {}), (leaky, {"alpha": 0.6})):
        found = vtrace(*args, rho_clip=1.3, pg_rho_clip=1.7, **knobs)
        assert_close(found.returns - args[0], theirs.errors)
        assert_close(found.advantage, theirs.pg_advantage)
        assert_close(found.q, theirs.q_estimate)


def test_no_advantage_leaks_across_a_truncation():
    # Two episodes where nothing is paid: one stays at value 1, the next at 100. There is no advantage anywhere.
    values = next_values = np.array([1.0, 1, 1, 100, 100, 100, 100])
    lambdas = np.array([1.0, 1, 0, 1, 1, 1, 1])
    args = (values, np.zeros(7), np.ones(7), next_values, np.zeros(7), lambdas)
    found = returns.vtrace(*float32(*args))
    assert_close(found.advantage, np.zeros(7))
    assert_close(vtrace_sum(*args)[1], np.zeros(7))
    values, next_values, rewards, discounts, ratio, lambdas = _as_rlax(float32(*args), jnp.ones(7))
    with lenient():
        theirs = rlax.vtrace_td_error_and_advantage(values, next_values, rewards, discounts, ratio, lambdas)
    assert_close(theirs.pg_advantage, [0, 0, 99, 0, 0, 0, 0])


_numbers = hnp.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
_ratios = hnp.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32))


@hypothesis.given(_numbers, _numbers, _weights, _numbers, _ratios, _weights)
def test_equals_the_sum_on_any_input(values, rewards, discounts, next_values, log_ratio, lambdas):
    args = (values, rewards, discounts, next_values, log_ratio, lambdas)
    expected = vtrace_sum(*(np.float64(x) for x in args))
    for one, other in zip(jax.tree.leaves(vtrace(*args)), expected, strict=True):
        assert_close(one, other, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(
    ("knob", "message"),
    [
        ({"rho_clip": 0.0}, "vtrace: rho_clip must be positive; got 0.0"),
        ({"c_clip": -1.0}, "vtrace: c_clip must be positive; got -1.0"),
        ({"pg_rho_clip": np.nan}, "vtrace: pg_rho_clip must be positive; got nan"),
        ({"alpha": 1.5}, r"vtrace: alpha must lie in \[0, 1\]; got 1.5"),
    ],
)
def test_knobs_outside_their_range_are_refused(knob, message):
    ones = jnp.ones(3)
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda x: returns.vtrace(x, x, x, x, x, **knob))(ones)
