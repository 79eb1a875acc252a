import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import returns
from bellmax._core import ValueTransform
from bellmax.returns import transformed
from helpers import assert_close, float32, lenient, trajectory

pytestmark = pytest.mark.slow

EPS = 1e-3


def _hyperbolic(x):
    return jnp.sign(x) * jnp.abs(x) / (jnp.sqrt(jnp.abs(x) + 1) + 1) + EPS * x


def _parabolic(x):
    s = jnp.sqrt((1 + 2 * EPS) ** 2 + 4 * EPS * jnp.abs(x))
    m = 2 * jnp.abs(x) * (1 - 2 * EPS / (s + 1 + 2 * EPS)) / (1 + s)
    return jnp.sign(x) * m * (m + 2)


HYPERBOLIC = ValueTransform(_hyperbolic, _parabolic)
IDENTITY = ValueTransform(lambda x: x, lambda x: x)
SQUARE = ValueTransform(jnp.square, jnp.sqrt)


def steps(seed=0):
    _, rewards, discounts, next_values, lambdas = trajectory(seed)
    rng = np.random.default_rng(seed)
    next_q, action = rng.normal(size=(7, 3, 4)), rng.integers(0, 4, (7, 3))
    probs = rng.dirichlet(np.ones(4), (7, 3))
    return *float32(10 * rewards, discounts, 3 * next_values, lambdas, 3 * next_q, probs), jnp.asarray(action)


def test_by_hand():
    # √9 = 3 in the units of the rewards: (1 + ½·3)² = 6.25
    found = transformed(returns.lambda_returns, SQUARE)(jnp.ones(1), jnp.array([0.5]), jnp.array([9.0]))
    assert_close(found, [6.25])


def test_of_the_identity_is_the_function():
    rewards, discounts, next_values, lambdas, *_ = steps()
    for function, args in (
        (returns.lambda_returns, (rewards, discounts, next_values, lambdas)),
        (returns.upgo_returns, (next_values, rewards, discounts, next_values, lambdas)),
    ):
        np.testing.assert_array_equal(jax.jit(transformed(function, IDENTITY))(*args), jax.jit(function)(*args))


def test_equals_rlax():
    rewards, discounts, next_values, lambdas, next_q, probs, action = steps()
    action = jnp.asarray(action, jnp.int32)
    nothing, first = jnp.zeros_like(next_q), jnp.zeros_like(action)
    picked = jnp.take_along_axis(probs, action[..., None], -1)[..., 0]

    def theirs(pair):
        def one(rewards, discounts, next_values, lambdas, next_q, probs, action, picked, nothing, first):
            general = rlax.transformed_general_off_policy_returns_from_action_values
            return (
                rlax.transformed_lambda_returns(pair, rewards, discounts, next_values, lambdas),
                rlax.transformed_n_step_returns(pair, rewards, discounts, next_values, 3),
                rlax.transformed_q_lambda(nothing, first, rewards, discounts, next_q, lambdas, tx_pair=pair),
                general(pair, next_q, action, rewards, discounts, picked * lambdas, probs),
            )

        args = (rewards, discounts, next_values, lambdas, next_q, probs, action, picked, nothing, first)
        with lenient():
            return jax.jit(jax.vmap(one, 1, 1))(*args)

    @jax.jit
    def ours():
        at = (rewards, discounts)
        return (
            transformed(returns.lambda_returns, HYPERBOLIC)(*at, next_values, lambdas),
            transformed(returns.n_step_returns, HYPERBOLIC)(*at, next_values, 3),
            transformed(returns.q_lambda_returns, HYPERBOLIC)(*at, next_q, lambdas),
            transformed(returns.tree_backup_returns, HYPERBOLIC)(*at, next_q, action, probs, lambdas),
        )

    found = ours()
    for one, other in zip(found, theirs(rlax.TxPair(_hyperbolic, _parabolic)), strict=True):
        assert_close(one, other)
    # Their own pair is the same map with fewer digits.
    for one, other in zip(found, theirs(rlax.SIGNED_HYPERBOLIC_PAIR), strict=True):
        assert_close(one, other, rtol=2e-3, atol=2e-3)


def test_retrace_composed_by_hand_takes_its_expectation_in_the_units_of_the_rewards():
    rewards, discounts, _, lambdas, next_q, probs, action = steps(2)
    q = jnp.abs(next_q) + 1
    values = jnp.sum(probs * jnp.sqrt(q), -1)
    taken = jnp.sqrt(jnp.take_along_axis(q, action[..., None], -1)[..., 0])
    log_ratio = jnp.full_like(rewards, 5.0)
    expected = jnp.square(returns.retrace_returns(rewards, discounts, values, taken, log_ratio, lambdas))
    found = transformed(returns.retrace_returns, SQUARE)(
        rewards, discounts, jnp.square(values), jnp.square(taken), log_ratio, lambdas
    )
    assert_close(found, expected, rtol=1e-4, atol=1e-4)
    # The expectation of squares is not the square of the expectation.
    wrong = transformed(returns.retrace_returns, SQUARE)(
        rewards, discounts, jnp.sum(probs * q, -1), jnp.square(taken), log_ratio, lambdas
    )
    assert not np.allclose(wrong, expected, rtol=1e-2)


def test_bootstraps_given_are_inverted_and_the_default_is_nothing():
    shifted = ValueTransform(lambda x: x + 5, lambda x: x - 5)
    ones = jnp.ones(2)
    function = transformed(returns.discounted_returns, shifted)
    assert_close(function(ones, ones), [7, 6])
    for five in (5, np.float64(5), jnp.array(5)):
        assert_close(function(ones, ones, bootstrap_value=five), [7, 6])


def test_keeps_name_signature_and_checks():
    function = transformed(returns.lambda_returns, HYPERBOLIC)
    assert function.__name__ == "lambda_returns"
    ones = jnp.ones(2)
    with pytest.raises(TypeError, match=r"(?s)lambda_returns.*next_values"):
        function(ones, ones, jnp.ones(2, bool))
    with pytest.raises(TypeError, match=r"(?s)lambda_returns.*next_values"):
        function(ones, ones, [1.0, 1.0])
    with pytest.raises(TypeError, match="next_values"):
        function(ones, ones)


def test_gradients_flow_through_it():
    rewards, discounts, next_values, *_ = steps(3)
    function = transformed(returns.lambda_returns, HYPERBOLIC)
    slope = jax.jit(jax.grad(lambda values: jnp.sum(function(rewards, discounts, values, 0.5))))(next_values)
    assert np.isfinite(slope).all()
    assert (np.asarray(slope) != 0).any()


SYMLOG = ValueTransform(lambda x: jnp.sign(x) * jnp.log1p(abs(x)), lambda y: jnp.sign(y) * jnp.expm1(abs(y)))
BENT = {"symlog": SYMLOG, "arcsinh": ValueTransform(jnp.arcsinh, jnp.sinh), "log": ValueTransform(jnp.log, jnp.exp)}


@pytest.mark.parametrize("name", BENT)
def test_masked_actions_and_terminal_states_have_no_gradient_and_poison_none(name):
    next_q = jnp.array([[1.0, -jnp.inf], [-jnp.inf, -jnp.inf], [-jnp.inf, 2.0]])
    probs, action = jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), jnp.array([0, 1, 1])
    rewards, discounts = jnp.full(3, 3.0), jnp.array([0.5, 0.0, 0.5])
    bent = functools.partial(transformed, transform=BENT[name])

    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def total(next_q, rewards):
        found = (
            bent(returns.q_lambda_returns)(rewards, discounts, next_q, 0.5),
            bent(returns.sarsa_lambda_returns)(rewards, discounts, next_q, action, 0.5),
            bent(returns.expected_sarsa_lambda_returns)(rewards, discounts, next_q, probs, 0.5),
            bent(returns.tree_backup_returns)(rewards, discounts, next_q, action, probs, 0.5),
            bent(returns.lambda_returns)(rewards, discounts, jnp.max(next_q, -1), 0.5),
        )
        return jnp.sum(jnp.stack(found)), found

    (_, found), slopes = jax.jit(total)(next_q, rewards)
    # By hand for Q(λ): the last is 3 + ½ h⁻¹(2), the second its reward, the first 3 + ½(½ h⁻¹(1) + ½·3).
    one, two = BENT[name].invert(jnp.array([1.0, 2.0]))
    assert_close(found[0], BENT[name].apply(jnp.stack([3.75 + one / 4, jnp.float32(3), 3 + two / 2])))
    assert all(np.isfinite(each).all() for each in (*found, *slopes))
    np.testing.assert_array_equal(np.asarray(slopes[0]) != 0, [[True, False], [False, False], [False, True]])
    # All terminal, all masked.
    nothing = jnp.full((3, 2), -jnp.inf)
    end = functools.partial(bent(returns.q_lambda_returns), rewards, 0 * discounts)
    value, slope = jax.jit(jax.value_and_grad(lambda next_q: jnp.sum(end(next_q))))(nothing)
    assert_close(value, 3 * BENT[name].apply(jnp.float32(3)))
    np.testing.assert_array_equal(slope, np.zeros((3, 2)))


def test_half_precision_is_rounded_at_the_end_only():
    rewards, discounts, next_values, lambdas, *_ = (x.astype(jnp.bfloat16) for x in steps()[:4])
    found = transformed(returns.lambda_returns, HYPERBOLIC)(rewards, discounts, next_values, lambdas)
    wide = (x.astype(jnp.float32) for x in (rewards, discounts, next_values, lambdas))
    assert found.dtype == jnp.bfloat16
    np.testing.assert_array_equal(found, transformed(returns.lambda_returns, HYPERBOLIC)(*wide).astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gae", "transformed: gae does not return values"),
        ("vtrace", "transformed: vtrace does not return values"),
        ("n_step_transitions", "transformed: n_step_transitions takes none of values, next_values"),
        ("extract_subsequences", "transformed: extract_subsequences takes none of"),
    ],
)
def test_what_has_no_values_is_refused_when_wrapped(name, message):
    with pytest.raises(TypeError, match=message):
        transformed(getattr(returns, name), HYPERBOLIC)
