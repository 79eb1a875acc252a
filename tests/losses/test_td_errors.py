import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import losses
from bellmax._core import ValueTransform, take_action
from bellmax.returns import n_step_returns
from helpers import action_values, as_q_arguments, assert_close, float32, gradient, lenient, trajectory

pytestmark = pytest.mark.slow

# Compiled at once: a test of many small operations would compile each of them.
ensemble_min = jax.jit(losses.ensemble_min)
qv_learning_error = jax.jit(losses.qv_learning_error)
qv_max_error = jax.jit(losses.qv_max_error)
double_q_learning_error = jax.jit(losses.double_q_learning_error, static_argnames="transform")
expected_sarsa_error = jax.jit(losses.expected_sarsa_error, static_argnames="transform")
q_learning_error = jax.jit(losses.q_learning_error, static_argnames="transform")
sarsa_error = jax.jit(losses.sarsa_error, static_argnames="transform")
td_error = jax.jit(losses.td_error, static_argnames="transform")
masked_mean = jax.jit(losses.masked_mean)

_HYPERBOLIC = ValueTransform(rlax.signed_hyperbolic, rlax.signed_parabolic)


def _awkward(seed):
    """Action values as drawn, and the same with ties, huge values, no discount and a discount of 1."""
    q, action, reward, discount, next_q, other = action_values(seed, batch=8)
    next_q[0] = 2.0
    next_q[1] *= 1e6
    reward[2] = -1e6
    discount[:4] = [1, 1, 0, 0]
    return as_q_arguments(q, action, reward, discount, next_q, other)


def test_td_by_hand():
    # 1 + ½·4 − 2 = 1; a terminal step: 3 + 0 − 1 = 2, whatever the next value.
    assert_close(td_error(*float32([2, 1], [1, 3], [0.5, 0], [4, -np.inf])), [1, 2])


def test_sarsa_by_hand():
    q, next_q = float32([[1, 2], [3, 4]], [[5, 6], [7, 8]])
    # 1 + ½·6 − 1 = 3; 2 + 1·7 − 4 = 5
    assert_close(sarsa_error(q, jnp.array([0, 1]), *float32([1, 2], [0.5, 1]), next_q, jnp.array([1, 0])), [3, 5])


def test_expected_sarsa_by_hand():
    q, next_q, probs = float32([1, 2], [4, 8], [0.25, 0.75])
    # 1 + ½(¼·4 + ¾·8) − 2 = 2.5
    assert_close(expected_sarsa_error(q, 1, 1.0, 0.5, next_q, probs), 2.5)


def test_transforms_act_alike_in_all_errors():
    """f of the target in the units of the reward, which is what the plain error of the inverses adds to its value."""
    q, action, reward, discount, next_q, target_q = as_q_arguments(*action_values(3, batch=8))
    next_q, masked = next_q.at[0].set(-jnp.inf), discount.at[0].set(0)
    f, inverse = symlog = ValueTransform(
        lambda x: jnp.sign(x) * jnp.log1p(abs(x)), lambda y: jnp.sign(y) * jnp.expm1(abs(y))
    )

    def back(values):
        return jnp.where(jnp.isneginf(values), values, inverse(values))

    start, value = (reward, masked), q[:, 0]
    kinds = {
        losses.qv_learning_error: (q, action, *start, next_q[:, 1]),
        losses.persistent_q_learning_error: (q, action, *start, next_q),
        losses.advantage_learning_error: (q, action, *start, next_q, target_q),
        losses.persistent_advantage_learning_error: (q, action, *start, next_q, target_q),
        losses.munchausen_q_learning_error: (q, action, *start, next_q, target_q),
        losses.mellowmax_q_learning_error: (q, action, *start, next_q),
        losses.soft_q_learning_error: (q, action, *start, next_q),
        losses.qv_max_error: (value, *start, next_q),
    }
    knobs = {"beta": 0.3, "omega": 2.0}

    def pair(function, arguments):
        own = {name: knobs[name] for name in inspect.signature(function).parameters if name in knobs}
        head = arguments[: 1 if function is losses.qv_max_error else 2]
        predicted = head[0] if len(head) == 1 else take_action(*head)
        plain = function(*head, *start, *(back(x) for x in arguments[len(head) + 2 :]), **own)
        return function(*arguments, **own, transform=symlog), f(plain + predicted) - predicted

    for one, other in jax.jit(lambda: [pair(*each) for each in kinds.items()])():
        assert_close(one, other)


def test_qv_and_qv_max_by_hand():
    q, next_q = float32([1, 2], [4, 8])
    assert_close(qv_learning_error(q, 1, 1.0, 0.5, 6.0), 2)  # 1 + ½·6 − 2
    assert_close(qv_max_error(2.0, 1.0, 0.5, next_q), 3)  # 1 + ½·8 − 2


@pytest.mark.parametrize("seed", range(2))
def test_equal_rlax(seed):
    q, action, reward, discount, next_q, other = _awkward(seed)
    next_action, probs = action[::-1], jax.nn.softmax(other)
    value, next_value = q[:, 0], next_q[:, 1]
    pairs = [
        (td_error, rlax.td_learning, (value, reward, discount, next_value)),
        (sarsa_error, rlax.sarsa, (q, action, reward, discount, next_q, next_action)),
        (expected_sarsa_error, rlax.expected_sarsa, (q, action, reward, discount, next_q, probs)),
        (qv_learning_error, rlax.qv_learning, (q, action, reward, discount, next_value)),
        (qv_max_error, rlax.qv_max, (value, reward, discount, next_q)),
    ]
    for ours, theirs, arguments in pairs:
        with lenient():
            mapped = jax.vmap(theirs)
            expected = jax.jit(mapped)(*arguments)
            slope = jax.jit(jax.grad(lambda x, *rest, f=mapped: f(x, *rest).sum()))(*arguments)
        assert_close(ours(*arguments), expected, rtol=1e-5, atol=1e-5)
        assert_close(gradient(ours, *arguments), slope, rtol=0, atol=0)


def test_what_has_no_probability_or_comes_after_an_end_is_erased():
    q, next_q, probs = float32([1, 2], [-np.inf, 8], [0, 1])
    one, half = jnp.ones(()), jnp.full((), 0.5)
    arguments = (q, jnp.array(1), one, half, next_q, probs)
    assert_close(expected_sarsa_error(*arguments), 3)  # 1 + ½·8 − 2
    assert_close(gradient(expected_sarsa_error, *arguments), [0, -1])
    with lenient():
        assert np.isnan(rlax.expected_sarsa(*arguments))
    terminal = (jnp.array(1.0), one, 0 * one, jnp.full(2, -jnp.inf))
    assert_close(qv_max_error(*terminal), 0)
    with lenient():
        assert np.isnan(rlax.qv_max(*terminal))
    assert_close(sarsa_error(q, 1, 1.0, 0.0, next_q, 0), -1)
    assert_close(sarsa_error(q, 1, 1.0, 0.0, next_q, 7), -1)


def test_next_actions_outside_give_nan():
    q = jnp.ones((2, 3))
    zero = jnp.zeros(2, jnp.int32)
    assert np.isnan(sarsa_error(q, zero, jnp.ones(2), jnp.ones(2), q, jnp.array([-1, 3]))).all()


def test_the_mean_is_of_values_not_the_value_of_the_mean_action():
    # Q(a) = a² for a = 1, 2, 3, alike likely: (1 + 4 + 9)/3 = 14/3, where the mean action is worth 4.
    error = expected_sarsa_error(jnp.zeros(3), 0, 0.0, 1.0, jnp.array([1.0, 4.0, 9.0]), jnp.full(3, 1 / 3))
    assert_close(error, 14 / 3)


def test_expected_sarsa_between_its_neighbours():
    q, action, reward, discount, next_q, other = _awkward(3)
    best = jnp.argmax(next_q, axis=-1).astype(jnp.int32)
    rest = (q, action, reward, discount, next_q)
    # A sure action is Sarsa's, the greedy one Q-learning's.
    sure = jax.nn.one_hot(action, 4)
    assert_close(expected_sarsa_error(*rest, sure), sarsa_error(*rest, action), rtol=1e-6)
    assert_close(sarsa_error(*rest, best), q_learning_error(*rest), rtol=0, atol=0)
    # Under a policy of its own values QV-learning is expected Sarsa.
    probs = jax.nn.softmax(other)
    value = (probs * next_q).sum(-1)
    assert_close(qv_learning_error(*rest[:4], value), expected_sarsa_error(*rest, probs), rtol=1e-6)


def test_n_step_sums_and_products_make_n_step_errors():
    values, rewards, discounts, next_values, _ = trajectory(1, ends=False)
    n = 3
    reward = sum(np.prod(discounts[:k], axis=0) * rewards[k] for k in range(n))
    discount = np.prod(discounts[:n], axis=0)
    expected = n_step_returns(*float32(rewards, discounts, next_values), n)[0] - np.float32(values[0])
    assert_close(td_error(*float32(values[0], reward, discount, next_values[n - 1])), expected)


def test_truncation_bootstraps_and_termination_does_not():
    value, reward, next_value = float32([1, 1], [2, 2], [10, 10])
    terminated = jnp.array([True, False])  # the second episode was cut by a time limit
    assert_close(td_error(value, reward, 0.9 * (1 - terminated.astype(jnp.float32)), next_value), [1, 10])


@pytest.mark.parametrize("seed", range(2))
def test_transformed_n_step_double_q_learning_equals_rlax(seed):
    rng = np.random.default_rng(seed)
    steps, n, actions = 5, 3, 3
    q, target_q, selector = 3 * rng.normal(size=(3, steps, actions))
    action = rng.integers(0, actions, steps)
    reward, discount = rng.normal(size=steps), np.where(np.arange(steps) == 2, 0.0, 0.9)
    with lenient():
        expected = jax.jit(partial(rlax.transformed_n_step_q_learning, n=n, tx_pair=rlax.SIGNED_HYPERBOLIC_PAIR))(
            *as_q_arguments(q, action), *float32(target_q), jnp.argmax(selector, -1), *float32(reward, discount)
        )
    last = np.minimum(np.arange(steps) + n, steps)
    returns = [sum(np.prod(discount[t:k]) * reward[k] for k in range(t, last[t])) for t in range(steps)]
    product = [np.prod(discount[t : last[t]]) for t in range(steps)]
    arguments = as_q_arguments(q, action, returns, product, target_q[last - 1], selector[last - 1])
    with lenient():
        error = double_q_learning_error(*arguments, transform=_HYPERBOLIC)
    assert_close(error, expected, rtol=1e-4, atol=1e-4)


def test_transforms_by_hand():
    # f doubles: 2(1 + ½·(6/2)) − 2 = 3, and a sum in front changes nothing of it.
    double = ValueTransform(lambda x: 2 * x, lambda y: y / 2)
    assert_close(td_error(2.0, 1.0, 0.5, 6.0, transform=double), 3)
    q, next_q = float32([2, 0], [6, 4])
    assert_close(q_learning_error(q, 0, 1.0, 0.5, next_q, transform=double), 3)
    assert_close(sarsa_error(q, 0, 1.0, 0.5, next_q, 0, transform=double), 3)
    # The mean of squares, not the square of the mean: √(½·6² + ½·4²) = √26.
    root = ValueTransform(jnp.sqrt, jnp.square)
    probs = jnp.full(2, 0.5)
    assert_close(expected_sarsa_error(q, 1, 0.0, 1.0, next_q, probs, transform=root), np.sqrt(26))


def test_masked_values_survive_a_transform_that_makes_nan_of_infinities():
    fragile = ValueTransform(lambda x: x, lambda y: y + 0 * y)
    q, next_q, probs = float32([1, 2], [-np.inf, 8], [0, 1])
    assert_close(q_learning_error(q, 1, 1.0, 0.5, next_q, transform=fragile), 3)
    assert_close(expected_sarsa_error(q, 1, 1.0, 0.5, next_q, probs, transform=fragile), 3)
    assert_close(q_learning_error(q, 1, 1.0, 0.0, next_q - jnp.inf, transform=fragile), -1)


def test_the_critics_of_td3_are_td_errors_of_the_least_target():
    q, next_q = float32([[1, 2], [3, 4]], [[5, 9], [7, 8]])  # two critics, two examples
    reward, discount = float32([1, 2], [0.5, 1])
    error = jax.vmap(td_error, (0, None, None, None))(q, reward, discount, ensemble_min(next_q))
    # Targets 1 + ½·5 = 3.5 and 2 + 8 = 10, the same for both critics.
    assert_close(error, [[2.5, 8], [0.5, 6]])

    def loss(q):
        errors = jax.vmap(td_error, (0, None, None, None))(q, reward, discount, ensemble_min(next_q))
        return 0.5 * jnp.square(errors).sum(axis=0).mean()

    assert_close(jax.grad(loss)(q), -error / 2)


def test_weights_and_masks_are_the_callers_line():
    arguments = float32([1, 2, 3], [1, 0, np.nan], [0.5, 1, 1], [2, 2, 2])
    weight, mask = jnp.array([0.5, 2.0, 0.0]), jnp.array([True, True, False])

    def weighted(value):
        loss = 0.5 * jnp.square(td_error(value, *arguments[1:]))
        return (weight * jnp.where(mask, loss, 0)).sum() / 2

    def masked(value):
        return masked_mean(0.5 * jnp.square(td_error(value, *arguments[1:])), mask)

    # Errors 1 + 1 − 1 = 1 and 0 + 2 − 2 = 0: (½·½ + 0)/2, and (½ + 0)/2.
    assert_close(weighted(arguments[0]), 0.125)
    assert_close(masked(arguments[0]), 0.25)
    assert_close(jax.grad(masked)(arguments[0])[:2], [-0.5, 0])
