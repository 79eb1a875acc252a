import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import returns
from cases.returns_off_policy import expectation, pick, retrace_sum
from helpers import assert_close, float32, gradient, lenient, trajectory

pytestmark = pytest.mark.slow

lambda_returns = jax.jit(returns.lambda_returns)
off_policy_returns = jax.jit(returns.off_policy_returns)
q_sigma_returns = jax.jit(returns.q_sigma_returns)
retrace_returns = jax.jit(returns.retrace_returns)
tree_backup_returns = jax.jit(returns.tree_backup_returns)
watkins_q_lambda_returns = jax.jit(returns.watkins_q_lambda_returns)


def experience(seed=0, actions=3, batch=(3,), ends=True):
    """Draws what discrete actions need, from a random behaviour, as float32 by name."""
    _, rewards, discounts, _, lambdas = trajectory(seed, batch=batch, ends=ends)
    rng = np.random.default_rng(seed + 100)
    shape = rewards.shape
    probs, behaviour = rng.dirichlet(np.ones(actions), (2, *shape))
    action = rng.integers(0, actions, shape)
    log_ratio = np.log(pick(probs, action)) - np.log(pick(behaviour, action))
    next_q = rng.normal(size=(*shape, actions))
    drawn = (rewards, discounts, next_q, probs, behaviour, log_ratio, lambdas)
    return *float32(*drawn), jnp.asarray(action, jnp.int32)


def taken(x, action):
    return jnp.take_along_axis(x, action[..., None], -1)[..., 0]


def test_by_hand():
    rewards, discounts, values, q, traces = float32([1, 2, 3], [0.5] * 3, [10, 20, 30], [8, 16, 99], [1, 0.5, 99])
    # G₂ = 3 + ½·30 = 18; G₁ = 2 + ½(20 + ½(18 − 16)) = 12.5; G₀ = 1 + ½(10 + 12.5 − 8) = 8.25
    assert_close(off_policy_returns(rewards, discounts, values, q, traces), [8.25, 12.5, 18])
    # Half of it: G₁ = 2 + ½(20 + ¼·2) = 12.25; G₀ = 1 + ½(10 + ½(12.25 − 8)) = 7.0625
    assert_close(off_policy_returns(rewards, discounts, values, q, traces, 0.5), [7.0625, 12.25, 18])


def test_retrace_by_hand():
    rewards, discounts, values, q = float32([1, 2, 3], [0.5] * 3, [10, 20, 30], [8, 16, np.nan])
    # Ratios 3, ½ and one that does not matter are cut to 1 and ½: the example above.
    log_ratio = jnp.log(jnp.array([3.0, 0.5, jnp.nan]))
    assert_close(retrace_returns(rewards, discounts, values, q, log_ratio), [8.25, 12.5, 18])


def test_tree_backup_by_hand():
    ones, next_q, probs = float32(np.ones(2), [[2, 4], [6, 8]], [[0.75, 0.25], [0.5, 0.5]])
    # G₁ = 1 + 7 = 8; G₀ = 1 + ¼·4 + ¾·8 = 8: the value of the action not taken, the return of the taken one.
    assert_close(tree_backup_returns(ones, ones, next_q, jnp.array([0, 9]), probs), [8, 8])


def test_q_sigma_by_hand():
    ones, next_q, probs = float32(np.ones(2), [[2, 4], [6, 8]], [[0.75, 0.25], [0.5, 0.5]])
    log_ratio = jnp.log(jnp.array([1.5, 1.0]))
    # c = ½·1.5 + ½·0.75 = 1.125; G₁ = 8; G₀ = 1 + 2.5 + 1.125·(8 − 2) = 10.25
    assert_close(q_sigma_returns(ones, ones, next_q, jnp.array([0, 9]), probs, log_ratio, 0.5), [10.25, 8])


def test_sigma_zero_is_tree_backup_and_one_is_importance_sampling():
    rewards, discounts, next_q, probs, _, log_ratio, lambdas, action = experience()
    args = (rewards, discounts, next_q, action, probs)
    tree = tree_backup_returns(*args, lambdas)
    assert_close(q_sigma_returns(*args, log_ratio, 0.0, lambdas), tree, rtol=1e-6, atol=1e-6)
    assert_close(q_sigma_returns(*args, jnp.full_like(log_ratio, jnp.inf), 0, lambdas), tree, rtol=1e-6, atol=1e-6)
    values = (probs * next_q).sum(-1)
    sampled = off_policy_returns(rewards, discounts, values, taken(next_q, action), jnp.exp(log_ratio), lambdas)
    assert_close(q_sigma_returns(*args, log_ratio, 1.0, lambdas), sampled)


def test_lambda_zero_is_the_one_step_target():
    rewards, discounts, next_q, probs, _, log_ratio, _, action = experience(1)
    values = (probs * next_q).sum(-1)
    expected = rewards + discounts * values
    q = taken(next_q, action)
    assert_close(retrace_returns(rewards, discounts, values, q, log_ratio, 0.0), expected)
    assert_close(tree_backup_returns(rewards, discounts, next_q, action, probs, 0.0), expected)
    assert_close(q_sigma_returns(rewards, discounts, next_q, action, probs, log_ratio, 0.5, 0.0), expected)


def test_full_traces_of_sampled_values_are_the_monte_carlo_return():
    _, rewards, discounts, next_values, lambdas = float32(*trajectory(2))
    ones = jnp.ones_like(rewards)
    expected = lambda_returns(rewards, discounts, next_values, lambdas)
    assert_close(off_policy_returns(rewards, discounts, next_values, next_values, ones, lambdas), expected)
    assert_close(retrace_returns(rewards, discounts, next_values, next_values, 0 * ones, lambdas), expected)


def test_tree_backup_of_a_certain_policy_follows_it_like_watkins():
    rewards, discounts, next_q, _, _, _, lambdas, action = experience(3)
    greedy = jax.nn.one_hot(next_q.argmax(-1), 3)
    expected = watkins_q_lambda_returns(rewards, discounts, next_q, action, lambdas)
    assert_close(tree_backup_returns(rewards, discounts, next_q, action, greedy, lambdas), expected)


def _chain(policy_of, gamma=0.9, states=5, actions=3):
    """A deterministic process: what is paid, where it leads, and the true action values of a policy that sees q."""
    rng = np.random.default_rng(7)
    paid, leads = rng.normal(size=(states, actions)), rng.integers(0, states, (states, actions))
    q = np.zeros((states, actions))
    for _ in range(2000):
        q = paid + gamma * (policy_of(q) * q).sum(-1)[leads]
    return paid, leads, q


def test_true_action_values_are_a_fixed_point_whatever_the_behaviour():
    pi = np.random.default_rng(8).dirichlet(np.ones(3), 5)
    for policy_of, greedy in ((lambda q: pi, False), (lambda q: np.eye(3)[q.argmax(-1)], True)):
        paid, leads, q = _chain(policy_of)
        state, action = [0], np.random.default_rng(9).integers(0, 3, 12)
        for a in action:
            state.append(leads[state[-1], a])
        now, after, next_action = np.array(state[:-1]), np.array(state[1:]), np.append(action[1:], 0)
        rewards, next_q, probs, discounts = float32(paid[now, action], q[after], policy_of(q)[after], np.full(12, 0.9))
        args = (rewards, discounts, next_q, jnp.asarray(next_action, jnp.int32), probs)
        values, chosen = expectation(next_q, probs), pick(np.asarray(next_q), next_action)
        log_ratio = jnp.log(pick(np.asarray(probs), next_action) * 3 + 1e-30).astype(jnp.float32)
        found_returns = [
            retrace_returns(rewards, discounts, values, jnp.asarray(chosen, jnp.float32), log_ratio, 0.9),
            tree_backup_returns(*args, 0.9),
            q_sigma_returns(*args, log_ratio, 0.5, 0.9),
        ]
        if greedy:
            found_returns.append(watkins_q_lambda_returns(rewards, discounts, next_q, args[3], 0.9))
        for found in found_returns:
            assert_close(found, q[now, action], rtol=1e-5, atol=2e-5)


_numbers = hnp.arrays(np.float32, (7, 3), elements=st.floats(-100, 100, width=32))
_weights = hnp.arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
_ratios = hnp.arrays(np.float32, (7, 3), elements=st.floats(-30, 30, width=32))


@hypothesis.given(_numbers, _weights, _numbers, _numbers, _ratios, _weights)
def test_retrace_equals_the_sum_on_any_input(rewards, discounts, values, q, log_ratio, lambdas):
    args = (rewards, discounts, values, q, log_ratio, lambdas)
    expected = retrace_sum(*(np.float64(x) for x in args))
    assert_close(retrace_returns(*args), expected, rtol=1e-4, atol=2e-3)


def test_infinite_ratios_and_their_gradients_are_finite():
    rewards, discounts, values, q = float32(np.ones(3), np.ones(3), [1, 2, 3], [1, 1, 1])
    both = jax.jit(jax.value_and_grad(lambda x: returns.retrace_returns(rewards, discounts, values, q, x).sum()))
    for log_ratio in (jnp.full(3, jnp.inf), jnp.full(3, 300.0), jnp.full(3, -jnp.inf)):
        found, slope = both(log_ratio)
        assert np.isfinite(found)
        assert_close(slope, [0, 0, 0], atol=1e-12)


def test_gradient_by_hand():
    rewards, discounts, values, q, traces = float32([1, 2], [0.5, 0.5], [10, 20], [8, 0], [0.5, 0])
    # G₁ = 12, G₀ = 1 + ½(10 + ½(12 − 8)): through Q₁ −¼, through c₁ ½(12 − 8) = 2; the last of each unused.
    slope = gradient(lambda q: off_policy_returns(rewards, discounts, values, q, traces), q)
    assert_close(slope, [-0.25, 0])
    slope = gradient(lambda traces: off_policy_returns(rewards, discounts, values, q, traces), traces)
    assert_close(slope, [2, 0])


@jax.jit
def _rlax(rewards, discounts, next_q, probs, behaviour, log_ratio, lambdas, action):
    values, q, traces = (probs * next_q).sum(-1), taken(next_q, action), jnp.exp(log_ratio)
    nothing, first = jnp.zeros_like(next_q), jnp.zeros_like(action)
    general = jax.vmap(rlax.general_off_policy_returns_from_action_values, 1, 1)
    from_values = jax.vmap(rlax.general_off_policy_returns_from_q_and_v, 1, 1)
    retrace = jax.vmap(rlax.retrace, (1,) * 8 + (None,), 1)
    continuous = jax.vmap(rlax.retrace_continuous, 1, 1)
    at, mu = (rewards, discounts), taken(behaviour, action)
    return (
        general(next_q, action, *at, traces * lambdas, probs),
        general(next_q, action, *at, taken(probs, action) * lambdas, probs),
        from_values(q[:-1], values, *at, (traces * lambdas)[:-1]),
        retrace(nothing, next_q, first, action, *at, probs, mu, 0.9),
        continuous(q * 0, q[:-1], values, *at, log_ratio[:-1], lambdas[:-1]),
    )


@pytest.mark.parametrize("seed", [9, 10])
def test_equals_rlax(seed):
    rewards, discounts, next_q, probs, _, log_ratio, lambdas, action = drawn = experience(seed)
    values, q = (probs * next_q).sum(-1), taken(next_q, action)
    with lenient():
        general, tree, from_values, retrace, continuous = _rlax(*drawn)
    found = off_policy_returns(rewards, discounts, values, q, jnp.exp(log_ratio), lambdas)
    assert_close(found, general)
    assert_close(found, from_values)
    assert_close(tree_backup_returns(rewards, discounts, next_q, action, probs, lambdas), tree)
    assert_close(retrace_returns(rewards, discounts, values, q, log_ratio, jnp.full_like(lambdas, 0.9)), retrace)
    assert_close(retrace_returns(rewards, discounts, values, q, log_ratio, lambdas), continuous)


def test_a_masked_terminal_state_has_no_value():
    rewards, discounts, next_q, probs, _, _, lambdas, action = experience(4, batch=(), ends=False)
    discounts, next_q = discounts.at[3].set(0), next_q.at[3].set(-jnp.inf)
    found = tree_backup_returns(rewards, discounts, next_q, action, probs, lambdas)
    with lenient():
        theirs = rlax.general_off_policy_returns_from_action_values(
            next_q, action, rewards, discounts, taken(probs, action) * lambdas, probs
        )
    assert_close(found, tree_backup_returns(rewards, discounts, next_q.at[3].set(0), action, probs, lambdas))
    assert np.isnan(theirs).any()


@pytest.mark.parametrize("sigma", [-0.1, 1.1, np.nan])
def test_sigma_outside_is_refused(sigma):
    ones = jnp.ones(2)
    with pytest.raises(ValueError, match=r"q_sigma_returns: sigma must lie in \[0, 1\]"):
        returns.q_sigma_returns(ones, ones, jnp.ones((2, 2)), jnp.zeros(2, jnp.int32), jnp.ones((2, 2)), ones, sigma)


def test_sigma_may_be_swept():
    rewards, discounts, next_q, probs, _, log_ratio, lambdas, action = experience(5)
    sweep = jax.jit(jax.vmap(returns.q_sigma_returns, (*(None,) * 6, 0, None)))
    found = sweep(rewards, discounts, next_q, action, probs, log_ratio, jnp.array([0.0, 0.5]), lambdas)
    assert_close(found[0], tree_backup_returns(rewards, discounts, next_q, action, probs, lambdas))
    assert not np.allclose(found[0], found[1])
