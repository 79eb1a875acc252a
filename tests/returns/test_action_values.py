import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import returns
from cases.returns_off_policy import lambda_sum, watkins_sum
from helpers import assert_close, float32, lenient, trajectory

pytestmark = pytest.mark.slow

lambda_returns = jax.jit(returns.lambda_returns)
sarsa_lambda_returns = jax.jit(returns.sarsa_lambda_returns)
expected_sarsa_lambda_returns = jax.jit(returns.expected_sarsa_lambda_returns)
q_lambda_returns = jax.jit(returns.q_lambda_returns)
watkins_q_lambda_returns = jax.jit(returns.watkins_q_lambda_returns)

NEXT_Q = np.array([[2.0, 4.0], [6.0, 8.0], [1.0, 3.0]])


def steps(seed=0, actions=3, batch=(3,)):
    """Draws rewards, discounts, next q, next action and lambdas, with ends."""
    _, rewards, discounts, _, lambdas = trajectory(seed, batch=batch)
    rng = np.random.default_rng(seed + 100)
    next_q = rng.normal(size=(*rewards.shape, actions))
    return rewards, discounts, next_q, rng.integers(0, actions, rewards.shape), lambdas


def test_sarsa_by_hand():
    ones, next_q = float32(np.ones(3), NEXT_Q)
    # Values of the actions taken: 4, 6, 3. G₂ = 1 + 3 = 4; G₁ = 1 + ½·6 + ½·4 = 6; G₀ = 1 + ½·4 + ½·6 = 6
    assert_close(sarsa_lambda_returns(ones, ones, next_q, jnp.array([1, 0, 1]), 0.5), [6, 6, 4])


def test_expected_sarsa_by_hand():
    ones, next_q, probs = float32(np.ones(3), NEXT_Q, [[0.5, 0.5], [1, 0], [0.25, 0.75]])
    # Expectations 3, 6, 2.5. G₂ = 3.5; G₁ = 1 + ½·6 + ½·3.5 = 5.75; G₀ = 1 + ½·3 + ½·5.75 = 5.375
    assert_close(expected_sarsa_lambda_returns(ones, ones, next_q, probs, 0.5), [5.375, 5.75, 3.5])


def test_peng_by_hand():
    ones, next_q = float32(np.ones(3), NEXT_Q)
    # Maxima 4, 8, 3. G₂ = 4; G₁ = 1 + ½·8 + ½·4 = 7; G₀ = 1 + ½·4 + ½·7 = 6.5
    assert_close(q_lambda_returns(ones, ones, next_q, 0.5), [6.5, 7, 4])


def test_watkins_by_hand():
    ones, next_q = float32(np.ones(3), NEXT_Q)
    # A₁ is greedy, A₂ is not: G₂ = 4; G₁ = 1 + 8 = 9, whatever follows; G₀ = 1 + ½·4 + ½·9 = 7.5
    assert_close(watkins_q_lambda_returns(ones, ones, next_q, jnp.array([1, 0, 0]), 0.5), [7.5, 9, 4])


def test_equals_are_all_greedy():
    ones, next_q = float32(np.ones(3), [[2, 2], [3, 0], [5, 5]])
    # G₂ = 1 + 5 = 6; after A₁ greedy G₁ = 1 + 6; after either of the equal actions G₀ = 1 + 7, and not 1 + 2.
    for action in (0, 1):
        assert_close(watkins_q_lambda_returns(ones, ones, next_q, jnp.array([action, 0, 0]), 1.0), [8, 7, 6])


def test_watkins_of_greedy_actions_is_peng_and_of_others_is_one_step():
    rewards, discounts, next_q, _, lambdas = steps()
    best, worst = jnp.asarray(next_q.argmax(-1)), jnp.asarray(next_q.argmin(-1))
    args = float32(rewards, discounts, next_q)
    lambdas = jnp.asarray(lambdas, jnp.float32)
    peng = q_lambda_returns(*args, lambdas)
    assert_close(watkins_q_lambda_returns(*args, best, lambdas), peng, rtol=1e-6, atol=1e-6)
    one_step = rewards + discounts * next_q.max(-1)
    assert_close(watkins_q_lambda_returns(*args, worst, lambdas), one_step)


def test_expected_sarsa_of_a_certain_policy_is_sarsa_and_of_a_greedy_one_peng():
    rewards, discounts, next_q, action, lambdas = steps(1)
    args = float32(rewards, discounts, next_q)
    lambdas = jnp.asarray(lambdas, jnp.float32)
    certain = jax.nn.one_hot(action, 3)
    expected = sarsa_lambda_returns(*args, action, lambdas)
    assert_close(expected_sarsa_lambda_returns(*args, certain, lambdas), expected)
    greedy = jax.nn.one_hot(next_q.argmax(-1), 3)
    assert_close(expected_sarsa_lambda_returns(*args, greedy, lambdas), q_lambda_returns(*args, lambdas))


_numbers = hnp.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
_few = hnp.arrays(np.float32, (7, 3, 3), elements=st.sampled_from([-np.inf, -2.0, 0.0, 1.5]))
_actions = hnp.arrays(np.int32, (7, 3), elements=st.integers(0, 2))


@hypothesis.given(_numbers, _weights, _few, _actions, _weights)
def test_watkins_equals_the_loop_with_ties_and_masks(rewards, discounts, next_q, action, lambdas):
    next_q[..., 0] = np.maximum(next_q[..., 0], -50)  # one action is always legal
    wide = (np.float64(x) for x in (rewards, discounts, next_q))
    expected = watkins_sum(*wide, action, np.float64(lambdas))
    assert_close(watkins_q_lambda_returns(rewards, discounts, next_q, action, lambdas), expected, rtol=1e-4, atol=1e-3)


def test_a_masked_terminal_state_has_no_value():
    _, rewards, discounts, _, lambdas = trajectory(2, batch=())
    discounts[3] = 0
    next_q = np.random.default_rng(0).normal(size=(7, 3))
    next_q[3] = -np.inf
    expected = lambda_sum(rewards, discounts, next_q.max(-1), lambdas)
    args = float32(rewards, discounts, next_q, lambdas)
    assert_close(q_lambda_returns(*args), expected)
    with lenient():
        theirs = rlax.q_lambda(args[2], jnp.zeros(7, jnp.int32), *args)
    assert np.isnan(theirs).any()


def test_an_action_outside_is_seen_where_it_matters():
    ones, next_q = jnp.ones(3), jnp.asarray(NEXT_Q)
    found = sarsa_lambda_returns(ones, jnp.array([1.0, 0, 1]), next_q, jnp.array([5, -1, 1]), 0.5)
    np.testing.assert_array_equal(np.isnan(found), [1, 0, 0])
    found = watkins_q_lambda_returns(ones, ones, next_q, jnp.array([-1, 0, 7]), 0.5)
    np.testing.assert_array_equal(np.isnan(found), [1, 0, 0])


def test_nan_values_stay_visible():
    ones, next_q = jnp.ones(3), jnp.asarray(NEXT_Q).at[1, 1].set(jnp.nan)
    for found in (
        q_lambda_returns(ones, ones, next_q, 0.5),
        watkins_q_lambda_returns(ones, ones, next_q, jnp.array([1, 0, 0])),
    ):
        np.testing.assert_array_equal(np.isnan(found), [1, 1, 0])


@jax.jit
def _rlax(rewards, discounts, next_q, action, probs, lambdas):
    nothing, first = jnp.zeros_like(next_q), jnp.zeros_like(action)
    greedy = jnp.take_along_axis(next_q, action[..., None], -1)[..., 0] == next_q.max(-1)
    peng = jax.vmap(rlax.q_lambda, 1, 1)
    return (
        jax.vmap(rlax.sarsa_lambda, 1, 1)(nothing, first, rewards, discounts, next_q, action, lambdas),
        jax.vmap(rlax.lambda_returns, 1, 1)(rewards, discounts, (probs * next_q).sum(-1), lambdas),
        peng(nothing, first, rewards, discounts, next_q, lambdas),
        peng(nothing, first, rewards, discounts, next_q, lambdas * greedy),
    )


@pytest.mark.parametrize("seed", [9, 10])
def test_equals_rlax(seed):
    rewards, discounts, next_q, action, lambdas = steps(seed)
    probs = np.random.default_rng(seed).dirichlet(np.ones(3), rewards.shape)
    rewards, discounts, next_q, probs, lambdas = float32(rewards, discounts, next_q, probs, lambdas)
    action = jnp.asarray(action, jnp.int32)
    with lenient():
        sarsa, expected, peng, watkins = _rlax(rewards, discounts, next_q, action, probs, lambdas)
    assert_close(sarsa_lambda_returns(rewards, discounts, next_q, action, lambdas), sarsa)
    assert_close(expected_sarsa_lambda_returns(rewards, discounts, next_q, probs, lambdas), expected)
    assert_close(q_lambda_returns(rewards, discounts, next_q, lambdas), peng)
    assert_close(watkins_q_lambda_returns(rewards, discounts, next_q, action, lambdas), watkins)


def test_one_action_is_the_lambda_return():
    _, rewards, discounts, next_values, lambdas = float32(*trajectory(3))
    expected = lambda_returns(rewards, discounts, next_values, lambdas)
    assert_close(q_lambda_returns(rewards, discounts, next_values[..., None], lambdas), expected, 1e-6, 1e-6)


@pytest.mark.parametrize("function", [returns.sarsa_lambda_returns, returns.watkins_q_lambda_returns])
def test_an_empty_trajectory_and_actions_that_are_no_integers_are_refused(function):
    with pytest.raises(ValueError, match="at least one step"):
        function(jnp.zeros(0), jnp.zeros(0), jnp.zeros((0, 2)), jnp.zeros(0, jnp.int32))
    with pytest.raises(TypeError, match="next_action"):
        function(jnp.zeros(2), jnp.zeros(2), jnp.zeros((2, 2)), jnp.zeros(2))
