"""Oracles in plain NumPy float64, and checks shared by the tests and by the planted faults.

A check takes the function under test, so that the same lines can be run on a faulty copy of it.
"""

import contextlib
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np


@contextlib.contextmanager
def lenient():
    """Lets third parties promote types and ranks as they like."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def assert_close(actual, desired, rtol=1e-5, atol=1e-5):
    np.testing.assert_allclose(np.asarray(actual, np.float64), np.asarray(desired, np.float64), rtol=rtol, atol=atol)


def float32(*arrays):
    return tuple(jnp.asarray(array, jnp.float32) for array in arrays)


def gradient(function, *args, argnums=0):
    """Gradient of the sum of what a function returns, compiled."""
    return jax.jit(jax.grad(lambda *args: jnp.sum(function(*args)), argnums=argnums))(*args)


class CountedTraces:
    """Counts how often a function is traced."""

    def __init__(self, function):
        self.function, self.count = function, 0

    def __call__(self, *args):
        self.count += 1
        return self.function(*args)


# --- returns: oracles ------------------------------------------------------------------------------------------------


def trajectory(seed=0, time=7, batch=(3,), ends=True):
    """Draws values, rewards, discounts, next values and lambdas; some steps terminate, some are truncated."""
    rng = np.random.default_rng(seed)
    shape = (time, *batch)
    values, rewards, next_values = rng.normal(size=(3, *shape))
    discounts = rng.uniform(0.5, 1, shape)
    lambdas = rng.uniform(0, 1, shape)
    if ends:
        discounts = np.where(rng.uniform(size=shape) < 0.2, 0.0, discounts)
        lambdas = np.where(rng.uniform(size=shape) < 0.2, 0.0, lambdas)
        lambdas = np.where(rng.uniform(size=shape) < 0.2, 1.0, lambdas)
    return values, rewards, discounts, next_values, lambdas


def times(x, weight):
    """Product in which a zero weight erases."""
    return np.where(weight == 0, 0.0, x * np.where(weight == 0, 1.0, weight))


def lambda_returns_loop(rewards, discounts, next_values, lambdas):
    rewards, discounts, next_values = (np.asarray(x, np.float64) for x in (rewards, discounts, next_values))
    lambdas = np.broadcast_to(np.asarray(lambdas, np.float64), rewards.shape)
    later, out = next_values[-1], np.zeros_like(rewards)
    for t in reversed(range(len(rewards))):
        target = times(next_values[t], 1 - lambdas[t]) + times(later, lambdas[t])
        later = out[t] = rewards[t] + times(target, discounts[t])
    return out


def gae_loop(values, rewards, discounts, next_values, lambdas):
    """The λ-return less the value, by the recurrence on one-step errors for any two sequences of values.

    `textbook_gae_loop` is the paper's, which holds where `values[t + 1]` is `next_values[t]`.
    """
    values, rewards, discounts, next_values = (
        np.asarray(x, np.float64) for x in (values, rewards, discounts, next_values)
    )
    lambdas = np.broadcast_to(np.asarray(lambdas, np.float64), rewards.shape)
    advantage, out = np.zeros_like(values[0]), np.zeros_like(values)
    start = next_values[-1]  # the value at which the following step starts
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + times(next_values[t], discounts[t]) - values[t]
        later = times(start - next_values[t] + advantage, lambdas[t])
        advantage = out[t] = delta + times(later, discounts[t])
        start = values[t]
    return out


def textbook_gae_loop(values, rewards, discounts, next_values, lambdas):
    """Equation 16 of the paper by its sum, Σ (γλ)^l δ: no value but those of the errors."""
    out = np.zeros_like(values)
    lambdas = np.broadcast_to(lambdas, rewards.shape)
    for t in range(len(rewards)):
        weight = np.ones_like(values[0])
        for k in range(t, len(rewards)):
            out[t] += weight * (rewards[k] + times(next_values[k], discounts[k]) - values[k])
            weight = weight * discounts[k] * lambdas[k]
    return out


def n_step_loop(rewards, discounts, next_values, n, lambdas=1.0):
    """Every window by itself, by recursion on how many rewards are left."""
    rewards, discounts, next_values = (np.asarray(x, np.float64) for x in (rewards, discounts, next_values))
    lambdas = np.broadcast_to(np.asarray(lambdas, np.float64), rewards.shape)

    def window(t, left):
        target = next_values[t]
        if left > 1 and t + 1 < len(rewards):
            target = times(next_values[t], 1 - lambdas[t]) + times(window(t + 1, left - 1), lambdas[t])
        return rewards[t] + times(target, discounts[t])

    return np.stack([window(t, n) for t in range(len(rewards))])


# --- returns: checks -------------------------------------------------------------------------------------------------


def check_lambda_returns_loop(lambda_returns):
    for seed in range(3):
        _, *args = trajectory(seed)
        assert_close(jax.jit(lambda_returns)(*float32(*args)), lambda_returns_loop(*args))


def check_lambda_returns_cut_at_truncation(lambda_returns):
    _, rewards, discounts, next_values, lambdas = trajectory(3, ends=False)
    lambdas[2] = 0
    args = float32(rewards, discounts, next_values, lambdas)
    first, second = [x[:3] for x in args], [x[3:] for x in args]
    # The last λ of a piece has nothing after it to mix, so the first piece may keep λ = 1 there.
    first[3] = first[3].at[-1].set(1)
    apart = jnp.concatenate([lambda_returns(*first), lambda_returns(*second)])
    assert_close(lambda_returns(*args), apart)


def check_lambda_returns_cut_at_termination(lambda_returns):
    _, rewards, discounts, next_values, lambdas = trajectory(4, ends=False)
    discounts[2] = 0
    next_values[2] = np.inf
    args = float32(rewards, discounts, next_values, lambdas)
    first, second = [x[:3] for x in args], [x[3:] for x in args]
    first[2] = first[2].at[-1].set(123.0)  # a terminal value has no say
    apart = jnp.concatenate([lambda_returns(*first), lambda_returns(*second)])
    assert_close(lambda_returns(*args), apart)


def check_gae_loop(gae):
    for seed in range(3):
        args = trajectory(seed)
        assert_close(jax.jit(gae)(*float32(*args)), gae_loop(*args))


def check_n_step_loop(n_step_returns):
    _, *args = trajectory(5)
    for n in (1, 2, 3, 7):
        expected = n_step_loop(*args[:3], n, args[3])
        actual = jax.jit(n_step_returns, static_argnums=3)(*float32(*args[:3]), n, jnp.asarray(args[3], jnp.float32))
        assert_close(actual, expected)


def check_n_step_ignores_what_follows_a_termination(n_step_returns):
    rewards, discounts, next_values = float32(np.ones(4), [1, 0, 1, 1], [10, np.inf, 10, 10])
    # 1 + 1·1 = 2, 1, 1 + 1 + 10 = 12, 1 + 10 = 11
    assert_close(n_step_returns(rewards, discounts, next_values, 2), [2, 1, 12, 11])


# --- losses: oracles -------------------------------------------------------------------------------------------------


def ppo_loop(log_ratios, advantages, epsilon=0.2):
    out = []
    for log_ratio, advantage in zip(log_ratios.ravel(), advantages.ravel(), strict=True):
        ratio = math.exp(min(max(float(log_ratio), -40.0), 40.0))
        clipped = min(max(ratio, 1 - epsilon), 1 + epsilon)
        out.append(-min(ratio * float(advantage), clipped * float(advantage)))
    return np.reshape(out, log_ratios.shape)


def q_learning_loop(q, action, reward, discount, next_q, selector=None):
    out = []
    selector = next_q if selector is None else selector
    for i in range(len(action)):
        best = max(range(selector.shape[1]), key=lambda a, i=i: selector[i, a])
        bootstrap = 0.0 if discount[i] == 0 else discount[i] * next_q[i, best]
        out.append(reward[i] + bootstrap - q[i, action[i]])
    return np.array(out, np.float64)


def action_values(seed=0, batch=6, actions=4):
    """Draws q, action, reward, discount, next_q and a selector."""
    rng = np.random.default_rng(seed)
    q, next_q, selector = rng.normal(size=(3, batch, actions))
    discount = np.where(rng.uniform(size=batch) < 0.3, 0.0, rng.uniform(0.5, 1, batch))
    return q, rng.integers(0, actions, batch).astype(np.int32), rng.normal(size=batch), discount, next_q, selector


def as_q_arguments(q, action, *rest):
    return (*float32(q), jnp.asarray(action, jnp.int32), *float32(*rest))


# --- losses: checks --------------------------------------------------------------------------------------------------


def check_ppo_loop(ppo_clip_loss):
    rng = np.random.default_rng(0)
    log_ratios = np.concatenate([rng.normal(0, 0.5, 30), [0, 200, -200, 200, -200, 39, -39]])
    advantages = np.concatenate([rng.normal(0, 2, 30), [1.5, 1, 1, -1e-3, -1, 1, -1e-3]])
    assert_close(ppo_clip_loss(*float32(log_ratios, advantages)), ppo_loop(log_ratios, advantages), rtol=1e-4)


def check_ppo_gradient_sides(ppo_clip_loss):
    log_ratio, advantage = float32(np.log([1.5, 0.5, 1.5, 0.5, 1.0, 1.0]), [2.0, -2.0, -2.0, 2.0, 3.0, -3.0])
    # Moved past the bound where the advantage pushes: nothing. On the other side: −ρA, to be pulled back.
    assert_close(gradient(ppo_clip_loss, log_ratio, advantage), [0, 0, 3.0, -1.0, -3.0, 3.0])
    assert (np.asarray(gradient(ppo_clip_loss, log_ratio, advantage))[:2] == 0).all()


def check_ppo_finite_far_away(ppo_clip_loss):
    log_ratio, advantage = float32([200, -200, 200, -200, 1e30], [1, 1, -1, -1, -5])
    assert np.isfinite(ppo_clip_loss(log_ratio, advantage)).all()
    assert np.isfinite(gradient(ppo_clip_loss, log_ratio, advantage)).all()


def check_ppo_advantage_is_data(ppo_clip_loss):
    log_ratio, advantage = float32([0.1, -0.1, 2.0], [1, -1, 1])
    assert (np.asarray(gradient(ppo_clip_loss, log_ratio, advantage, argnums=1)) == 0).all()


def check_value_loss(value_loss):
    value, target = float32([1.0, 2.0, -1.0], [3.0, 2.0, 1.5])
    # (3 − 1)²/2 = 2, 0, (1.5 + 1)²/2 = 3.125
    assert_close(value_loss(value, target), [2, 0, 3.125])
    assert_close(gradient(value_loss, value, target), [-2, 0, -2.5])


def check_value_target_is_data(value_loss):
    value, target = float32([1.0, 2.0], [3.0, 1.0])
    assert (np.asarray(gradient(value_loss, value, target, argnums=1)) == 0).all()


def check_clipped_value_loss(clipped_value_loss):
    value, target, old = float32([0.5, 0.1, -0.5, 0.5, 2], [1, 1, 1, 0, 2], [0, 0, 0, 0, 1.9])
    # V_clip = 0.2, 0.1, −0.2, 0.2, 2: max(.25, .64)/2, .81/2, max(2.25, 1.44)/2, max(.25, .04)/2, 0
    assert_close(clipped_value_loss(value, target, old), [0.32, 0.405, 1.125, 0.125, 0])


def check_clipped_value_loss_is_pessimistic(clipped_value_loss):
    value, target, old = float32(*np.random.default_rng(0).normal(size=(3, 50)))
    plain = 0.5 * np.square(np.asarray(target) - np.asarray(value))
    assert (np.asarray(clipped_value_loss(value, target, old)) >= plain * (1 - 1e-6)).all()


def check_clipped_value_old_value_is_data(clipped_value_loss):
    value, target, old = float32([0.5, 3.0], [1.0, 1.0], [0.0, 0.0])
    for argnum in (1, 2):
        assert (np.asarray(gradient(clipped_value_loss, value, target, old, argnums=argnum)) == 0).all()


def check_q_learning_loop(q_learning_error):
    for seed in range(3):
        args = action_values(seed)[:5]
        assert_close(q_learning_error(*as_q_arguments(*args)), q_learning_loop(*args))


def check_q_learning_target_is_data(q_learning_error):
    args = as_q_arguments(*action_values(1)[:5])
    for argnum in (2, 3, 4):
        assert (np.asarray(gradient(q_learning_error, *args, argnums=argnum)) == 0).all()


def check_q_learning_masked_terminal(q_learning_error):
    q, next_q = float32([[1.0, 2.0]], [[-np.inf, -np.inf]])
    # A terminal state whose actions are all masked: the target is the reward, 3 − 2 = 1.
    args = (q, jnp.array([1]), *float32([3.0], [0.0]), next_q)
    assert_close(q_learning_error(*args), [1.0])
    assert_close(gradient(q_learning_error, *args), [[0.0, -1.0]])


def check_double_q_loop(double_q_learning_error):
    for seed in range(3):
        args = action_values(seed)
        assert_close(double_q_learning_error(*as_q_arguments(*args)), q_learning_loop(*args))


def check_double_q_target_is_data(double_q_learning_error):
    args = as_q_arguments(*action_values(1))
    for argnum in (2, 3, 4, 5):
        assert (np.asarray(gradient(double_q_learning_error, *args, argnums=argnum)) == 0).all()


def check_take_action(take_action):
    q = jnp.array([[1.0, -jnp.inf], [3.0, 4.0], [5.0, 6.0], [5.0, 6.0]])
    np.testing.assert_array_equal(take_action(q, jnp.array([0, 1, 2, -1])), [1, 4, np.nan, np.nan])


def check_action_outside_is_nan(q_learning_error):
    q, reward, discount, next_q = float32([[1.0, 2.0]] * 2, [0.0, 0.0], [1.0, 1.0], [[1.0, 2.0]] * 2)
    assert np.isnan(q_learning_error(q, jnp.array([-1, 2]), reward, discount, next_q)).all()


# --- policies: oracles -----------------------------------------------------------------------------------------------


def epsilon_greedy_probs(q, eps):
    q, eps = np.asarray(q, np.float64), np.asarray(eps, np.float64)
    best = q.max(-1, keepdims=True)
    greedy = (q == best).astype(np.float64)
    greedy /= greedy.sum(-1, keepdims=True)
    eps = np.broadcast_to(eps, q.shape[:-1])[..., None]
    return np.where(np.isneginf(best), np.nan, (1 - eps) * greedy + eps / q.shape[-1])


def softmax(logits):
    logits = np.asarray(logits, np.float64)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def discrete_entropy(probs):
    return -np.sum(np.where(probs == 0, 0, probs * np.log(np.where(probs == 0, 1, probs))), -1)


def discrete_kl(p, q):
    return np.sum(np.where(p == 0, 0, p * (np.log(np.where(p == 0, 1, p)) - np.log(np.where(p == 0, 1, q)))), -1)


def gaussian_log_prob(value, mu, logvar):
    value, mu, logvar = (np.asarray(x, np.float64) for x in (value, mu, logvar))
    return np.sum(-0.5 * ((value - mu) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi)), -1)


def gaussian_kl(mu, logvar, other_mu, other_logvar):
    mu, logvar, other_mu, other_logvar = (np.asarray(x, np.float64) for x in (mu, logvar, other_mu, other_logvar))
    ratio = np.exp(logvar - other_logvar)
    return 0.5 * np.sum(other_logvar - logvar + ratio + (mu - other_mu) ** 2 / np.exp(other_logvar) - 1, -1)


def assert_frequencies(actions, probs):
    """Chi-square of counts against probabilities; what has none must not occur at all."""
    from scipy import stats

    counts = np.bincount(np.asarray(actions).ravel(), minlength=len(probs))
    assert len(counts) == len(probs)
    possible = np.asarray(probs) > 0
    assert counts[~possible].sum() == 0, counts
    if possible.sum() > 1:
        expected = np.asarray(probs, np.float64)[possible]
        expected = expected / expected.sum() * counts.sum()
        assert stats.chisquare(counts[possible], expected).pvalue > 1e-3, (counts, expected)


# --- policies: checks ------------------------------------------------------------------------------------------------


def check_epsilon_greedy_probs(epsilon_greedy):
    q = np.array([[1.0, 3.0, 2.0], [2.0, 2.0, 0.0], [5.0, 5.0, 5.0]])
    # 3 actions, ε = 0.3: every action 0.1, the best 0.7 more, shared among equals.
    expected = [[0.1, 0.8, 0.1], [0.45, 0.45, 0.1], [1 / 3, 1 / 3, 1 / 3]]
    assert_close(epsilon_greedy(*float32(q), 0.3).probs, expected, atol=1e-6)
    for eps in (0.0, 0.01, 0.5, 1.0):
        assert_close(epsilon_greedy(*float32(q), eps).probs, epsilon_greedy_probs(q, eps), atol=1e-6)


def check_epsilon_greedy_frequencies(epsilon_greedy):
    key = jax.random.key(7)
    for q, eps in itertools.product([[1.0, 3.0, 3.0, 0.0], [4.0, 0.0, 1.0, -np.inf]], [0.0, 0.3, 1.0]):
        pi = epsilon_greedy(*float32(q), eps)
        actions = pi.sample(seed=key, sample_shape=100_000)
        assert actions.dtype == jnp.int32
        assert_frequencies(actions, epsilon_greedy_probs(q, eps))


def check_boltzmann_probs(boltzmann):
    q = np.array([[1.0, 3.0, 2.0, -np.inf], [2.0, 2.0, 0.0, -1.0]])
    for tau in (0.1, 1.0, 7.0):
        assert_close(boltzmann(*float32(q), tau).probs, softmax(q / tau), atol=1e-6)


def check_boltzmann_cold(boltzmann):
    q = float32([[1000.0, 1000.0, 999.0], [0.1, 0.2, 0.3]])[0]
    assert_close(boltzmann(q, 1e-6).probs, [[0.5, 0.5, 0], [0, 0, 1]])


def check_boltzmann_masked_gradient(boltzmann):
    q = float32([1.0, 3.0, -np.inf])[0]
    slope = jax.grad(lambda q: boltzmann(q, 0.5).log_prob(jnp.array(0)))(q)
    assert np.isfinite(slope).all()


def check_categorical_log_prob(categorical):
    logits = np.array([[0.0, np.log(3.0), -np.inf], [1.0, 1.0, 1.0]])
    # Weights 1, 3 and 0: probabilities a quarter, three quarters, none.
    pi = categorical(*float32(logits))
    assert_close(pi.probs, [[0.25, 0.75, 0], [1 / 3, 1 / 3, 1 / 3]], atol=1e-6)
    assert_close(pi.log_prob(jnp.array([1, 2])), [np.log(0.75), -np.log(3)])
    assert np.asarray(pi.log_prob(jnp.array([2, 0])))[0] == -np.inf
    assert (np.asarray(pi.log_prob(jnp.array([3, -1]))) == -np.inf).all()


def check_categorical_entropy(categorical):
    # −¼ ln ¼ − ¾ ln ¾ = 0.5623; the uniform one has ln 3; a sure action has none.
    logits = np.array([[0.0, np.log(3.0), -np.inf], [1.0, 1.0, 1.0], [0.0, -np.inf, -np.inf]])
    assert_close(categorical(*float32(logits)).entropy(), [0.5623351, np.log(3), 0])


def check_categorical_frequencies(categorical):
    logits = np.array([0.0, 1.0, -np.inf, -1.0])
    actions = categorical(*float32(logits)).sample(seed=jax.random.key(3), sample_shape=100_000)
    assert_frequencies(actions, softmax(logits))


def check_gaussian_log_prob(gaussian):
    rng = np.random.default_rng(0)
    mu, logvar, value = rng.normal(size=(3, 5, 2))
    pi = gaussian(*float32(mu, logvar))
    assert_close(pi.log_prob(*float32(value)), gaussian_log_prob(value, mu, logvar))


def check_gaussian_entropy(gaussian):
    logvar = np.array([[0.0, 0.0], [1.0, -3.0]])
    # ½ Σ (ν + 1 + ln 2π): 1 + ln 2π, and ½(1 − 3) more.
    expected = 1 + np.log(2 * np.pi) + np.array([0, -1])
    assert_close(gaussian(*float32(np.zeros((2, 2)), logvar)).entropy(), expected)


def check_gaussian_kl(gaussian):
    mu, logvar, other_mu, other_logvar = np.random.default_rng(1).normal(size=(4, 5, 2))
    pi, other = gaussian(*float32(mu, logvar)), gaussian(*float32(other_mu, other_logvar))
    assert_close(pi.kl_divergence(other), gaussian_kl(mu, logvar, other_mu, other_logvar))
    assert_close(pi.kl_divergence(pi), np.zeros(5))


def check_gaussian_moments(gaussian):
    mu, logvar = np.array([1.0, -2.0]), np.log([4.0, 0.25])
    samples = np.asarray(gaussian(*float32(mu, logvar)).sample(seed=jax.random.key(0), sample_shape=100_000))
    # Five standard errors: σ/√n for the mean, σ/√(2n) for the deviation.
    sigma = np.array([2.0, 0.5])
    assert (abs(samples.mean(0) - mu) < 5 * sigma / np.sqrt(1e5)).all()
    assert (abs(samples.std(0) - sigma) < 5 * sigma / np.sqrt(2e5)).all()


# --- core: checks ----------------------------------------------------------------------------------------------------


def check_multiply_no_nan(multiply_no_nan):
    x, weight = float32([np.inf, -np.inf, np.nan, 2.0, 3.0], [0, 0, 0, 0, 0.5])
    assert_close(multiply_no_nan(x, weight), [0, 0, 0, 0, 1.5])
    assert_close(gradient(multiply_no_nan, x, weight, argnums=0), [0, 0, 0, 0, 0.5])
    # Where x is finite its weight feels it, at zero too.
    assert_close(gradient(multiply_no_nan, x, weight, argnums=1)[3:], [2, 3])


def check_mix(mix):
    x, y, weight = float32([1, 1, 1, np.inf, 1], [3, 3, 3, 3, np.inf], [0, 1, 0.25, 1, 0])
    assert_close(mix(x, y, weight), [1, 3, 1.5, 3, 1])
    assert_close(gradient(mix, x, y, weight, argnums=2)[:3], [2, 2, 2])
    assert_close(gradient(mix, x, y, weight, argnums=0), [1, 0, 0.75, 0, 1])
    assert_close(gradient(mix, x, y, weight, argnums=1), [0, 1, 0.25, 1, 0])


def check_masked_mean(masked_mean):
    x, weight = float32([1, 3, np.nan, np.inf], [1, 1, 0, 0])
    assert_close(masked_mean(x, weight), 2)
    assert_close(masked_mean(x, weight == 1), 2)
    assert_close(masked_mean(x, weight == 7), 0)
    assert_close(gradient(masked_mean, x, weight), [0.5, 0.5, 0, 0])
    assert_close(gradient(masked_mean, x, 0 * weight), [0, 0, 0, 0])


def check_masked_mean_across_devices(masked_mean):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(size=(4, 5)), rng.uniform(size=(4, 5)) < np.array([[0.0], [0.2], [0.5], [1.0]])
    x = np.where(mask, x, np.nan)
    expected = x[mask].mean()
    expected_gradient = mask / mask.sum()

    def local(x, mask):
        value, slope = jax.value_and_grad(masked_mean)(x, mask, "devices")
        return jax.lax.pmean(value, "devices"), slope

    value, slope = jax.vmap(local, axis_name="devices")(jnp.asarray(x, jnp.float32), jnp.asarray(mask))
    assert_close(value, np.full(4, expected))
    # A pmean over parameters that all devices share divides by the four devices; here each device has its own inputs.
    assert_close(slope / 4, expected_gradient)


def check_lane_keys(lane_keys):
    key = jax.random.key(0)
    data = jax.random.key_data(lane_keys(key, 8))
    spread = jax.vmap(lambda _: lane_keys(key, 2, "devices"), axis_name="devices")(jnp.arange(4))
    np.testing.assert_array_equal(data, jax.random.key_data(spread).reshape(8, -1))
    assert len({tuple(row) for row in np.asarray(data).tolist()}) == 8


def check_random_order(random_order):
    draw = jax.jit(jax.vmap(random_order, (0, None)), static_argnums=1)
    orders = np.asarray(draw(jax.random.split(jax.random.key(1), 6_000), 6))
    assert (np.sort(orders, axis=1) == np.arange(6)).all()
    for position in range(6):
        assert_frequencies(orders[:, position], np.full(6, 1 / 6))
    # All 720 orders, not only the positions: 4! of the first four shown by their ranks.
    ranks = np.argsort(np.argsort(orders[:, :3], axis=1), axis=1) @ np.array([9, 3, 1])
    _, ranks = np.unique(ranks, return_inverse=True)
    assert_frequencies(ranks, np.full(6, 1 / 6))


def check_gradient_step_skips(gradient_step):
    import optax

    optimiser = optax.scale_by_adam()
    model = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5), "name": "kept"}
    state = optimiser.init(jnp.zeros(3))
    state = jax.tree.map(lambda leaf: leaf + jnp.ones_like(leaf), state)
    for poison in (np.nan, np.inf, -np.inf):
        slope = {"a": jnp.array([0.1, poison], jnp.float32), "b": jnp.array(0.1), "name": None}
        moved, next_state, metrics = gradient_step(model, slope, optimiser, state, 0.1)
        assert moved["name"] == "kept"
        for before, after in zip(jax.tree.leaves((model, state)), jax.tree.leaves((moved, next_state)), strict=True):
            np.testing.assert_array_equal(before, after)
        assert float(metrics["skipped"]) == 1
        assert np.isnan(float(metrics["gradient_norm"]))
