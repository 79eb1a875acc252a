"""Proximal policy optimisation and its relatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from helpers import assert_close, float32, gradient, softmax

pytestmark = pytest.mark.slow

SURROGATES = {
    "ppo_clip_loss": losses.ppo_clip_loss,
    "ppo_clip_loss, dual": lambda x, a: losses.ppo_clip_loss(x, a, epsilon_high=0.28, dual_clip=3.0),
    "ppo_kl_loss": lambda x, a: losses.ppo_kl_loss(x, a, losses.approximate_kl(x), beta=0.5),
    "discovered_policy_loss": losses.discovered_policy_loss,
    "simple_policy_loss": losses.simple_policy_loss,
}
every = pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)


@every
def test_at_the_sampling_parameters_value_and_gradient_are_those_of_the_policy_gradient(surrogate):
    advantage = jnp.array([1.5, -2.0, 0.0])
    value, pullback = jax.vjp(jax.jit(surrogate), jnp.zeros(3), advantage)
    assert_close(value, -advantage, rtol=1e-6, atol=1e-6)
    assert_close(pullback(jnp.ones(3))[0], -advantage, rtol=1e-6, atol=1e-6)


def test_the_ratio_is_one_at_the_sampling_parameters():
    """The log-probability that acted, and the same one computed anew under other transforms."""
    logits, action = jnp.asarray(np.random.default_rng(0).normal(size=(64, 18)) * 5, jnp.float32), jnp.arange(64) % 18

    def log_prob(logits, action):
        return jax.nn.log_softmax(logits)[action]

    acting = jax.jit(log_prob)
    acted = jnp.stack([acting(row, a) for row, a in zip(logits[:8], action[:8], strict=True)])
    learned = jax.jit(jax.vmap(log_prob))(logits, action)[:8]
    loss = losses.ppo_clip_loss(learned - acted, jnp.ones(8))
    assert (abs(loss + 1) <= 1e-6).all()


@every
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_finite_however_far_the_policies_are(surrogate, dtype):
    log_ratio = jnp.asarray(np.repeat([-100, 100, -np.inf, np.inf], 3), dtype)
    advantage = jnp.asarray(np.tile([-1, 0, 1], 4), dtype)
    loss, pullback = jax.jit(lambda x: jax.vjp(lambda x: surrogate(x, advantage), x))(log_ratio)
    assert np.isfinite(loss.astype(np.float32)).all()
    assert np.isfinite(pullback(jnp.ones_like(loss))[0].astype(np.float32)).all()


def test_a_loss_above_the_largest_of_float16_is_infinite_only_there():
    for dtype, expected in ((jnp.float16, np.inf), (jnp.float32, 10 * np.exp(20.0))):
        assert_close(losses.ppo_clip_loss(jnp.asarray([20.0], dtype), jnp.asarray([-10.0], dtype)), [expected])
    # e^5 · 10 fits, and was computed in float32: rounded once.
    near = losses.ppo_clip_loss(jnp.float16([5.0]), jnp.float16([-10.0]))
    np.testing.assert_array_equal(near, np.float16([10 * np.exp(5.0)]))


def test_estimates_close_to_zero_keep_their_digits():
    small = jnp.float32([1e-4, -1e-4])
    # e^ℓ − 1 − ℓ = ℓ²/2 + …, and relative to it e^ℓ rounds to 1.
    for estimator in ("k2", "k3"):
        assert_close(losses.approximate_kl(small, estimator=estimator), [5e-9, 5e-9], rtol=1e-2, atol=0)
    # z = (ρ − 1) A is small, and so is the loss that is left.
    assert_close(losses.simple_policy_loss(small, jnp.ones(2)) + 1, [-1e-4, 1e-4], rtol=5e-3, atol=0)


def test_estimates_from_half_precision_are_clipped_in_float32():
    assert_close(losses.approximate_kl(jnp.float16([20.0, -30.0]), estimator="k1"), [-20, 30])
    assert_close(losses.approximate_kl(jnp.float16([20.0]), estimator="k3"), [np.exp(20.0) - 21])


def test_turned_around_the_estimates_are_those_of_a_penalty_to_a_reference():
    """In expectation under the learner, whose actions are held while the gradient is taken."""
    reference, logits = float32(*np.random.default_rng(5).normal(size=(2, 4)))
    pi = jax.nn.softmax(logits)

    def mean(logits, estimator):
        log_ratio = jax.nn.log_softmax(reference) - jax.nn.log_softmax(logits)
        return (pi * losses.approximate_kl(log_ratio, estimator=estimator)).sum()

    both = jax.jit(jax.value_and_grad(mean), static_argnums=1)
    (one, flat), (_, second), (three, other) = (both(logits, estimator) for estimator in ("k1", "k2", "k3"))
    divergence, slope = jax.jit(jax.value_and_grad(losses.categorical_kl))(logits, reference)
    assert_close([one, three], [divergence] * 2)
    assert_close(flat, 0 * logits, atol=1e-6)
    assert_close(second, slope)
    assert_close(other, gradient(losses.categorical_kl, reference, logits, argnums=1))


@every
def test_nan_stays_visible(surrogate):
    assert np.isnan(jax.jit(surrogate)(*float32([np.nan, 0.0], [1.0, np.nan]))).all()


def test_truth_table_of_the_clip():
    ratio, advantage = float32([1.5, 0.5, 1.5, 0.5, 1.1, 0.9], [2, 2, -2, -2, 2, -2])
    slopes = gradient(losses.ppo_clip_loss, jnp.log(ratio), advantage)
    # A > 0: nothing above 1.2, −ρA below. A < 0: −ρA above, nothing below 0.8. Inside: −ρA.
    assert_close(slopes, [0, -1, 3, 0, -2.2, 1.8])


def test_the_clip_range_changes_nothing_else():
    log_ratio, advantage = float32(*np.random.default_rng(1).normal(size=(2, 20)) * 0.01)
    np.testing.assert_array_equal(
        losses.ppo_clip_loss(log_ratio, advantage, epsilon=0.1), losses.ppo_clip_loss(log_ratio, advantage, epsilon=0.3)
    )


def test_asymmetric_clip_by_hand():
    log_ratio, advantage = float32(np.log([1.5, 1.5, 0.5, 0.5]), [1, -1, 1, -1])
    # −min(1.5, 1.28), −min(−1.5, −1.28), −min(0.5, 0.8), −min(−0.5, −0.8)
    assert_close(losses.ppo_clip_loss(log_ratio, advantage, epsilon_high=0.28), [-1.28, 1.5, -0.5, 0.8])
    equal = losses.ppo_clip_loss(log_ratio, advantage, epsilon=0.3, epsilon_high=0.3)
    np.testing.assert_array_equal(equal, losses.ppo_clip_loss(log_ratio, advantage, epsilon=0.3))


def test_dual_clip_bounds_bad_actions_alone():
    log_ratio, advantage = float32(np.log([9.0, 9.0, 2.0]), [-1, 1, -1])
    # A < 0: −max(−9, −3) = 3 and −max(−2, −3) = 2; A > 0: as before, −1.2.
    assert_close(losses.ppo_clip_loss(log_ratio, advantage, dual_clip=3.0), [3, -1.2, 2])
    slopes = gradient(lambda *args: losses.ppo_clip_loss(*args, dual_clip=3.0), log_ratio, advantage)
    assert_close(slopes, [0, 0, 2])


def test_penalty_by_hand_and_through_the_divergence():
    log_ratio, advantage, kl = float32(np.log([2.0, 0.5]), [1, -1], [0.1, 0.2])
    # −2 + 3 · 0.1, 0.5 + 3 · 0.2
    assert_close(losses.ppo_kl_loss(log_ratio, advantage, kl, beta=3.0), [-1.7, 1.1])
    slopes = gradient(lambda *args: losses.ppo_kl_loss(*args, beta=3.0), log_ratio, advantage, kl, argnums=(0, 1, 2))
    for slope, expected in zip(slopes, ([-2, 0.5], [0, 0], [3, 3]), strict=True):
        assert_close(slope, expected)


def test_coefficient_follows_the_divergence():
    kl = jnp.array([0.0, 0.0066, 0.0067, 0.01, 0.0149, 0.0151, 1.0, jnp.nan])
    # Target 0.01: halved below 0.00667, doubled above 0.015.
    adapted = jax.jit(losses.adapt_kl_coefficient)(jnp.full(8, 0.3), kl, 0.01)
    assert_close(adapted, [0.15, 0.15, 0.3, 0.3, 0.3, 0.6, 0.6, np.nan])


def test_estimates_of_the_divergence_have_its_mean_and_its_gradient():
    """In expectation under the behaviour, by summing over all actions."""
    behaviour, learner = np.random.default_rng(2).normal(size=(2, 4))
    mu = jnp.asarray(softmax(behaviour), jnp.float32)

    def mean(logits, estimator):
        log_ratio = jax.nn.log_softmax(logits) - jax.nn.log_softmax(jnp.asarray(behaviour, jnp.float32))
        return (mu * losses.approximate_kl(log_ratio, estimator=estimator)).sum()

    exact = jax.jit(jax.value_and_grad(losses.categorical_kl, 1))(*float32(behaviour, learner))
    for estimator in ("k1", "k3"):
        value, slope = jax.jit(jax.value_and_grad(mean), static_argnums=1)(*float32(learner), estimator)
        assert_close(value, exact[0])
        assert_close(slope, exact[1])
    # Close by, the second-order one agrees as well: KL ≈ ½ Var.
    near = jnp.asarray(behaviour + 1e-2 * learner, jnp.float32)
    assert_close(mean(near, "k2"), losses.categorical_kl(jnp.asarray(behaviour, jnp.float32), near), rtol=0.02, atol=0)
    assert (losses.approximate_kl(jnp.linspace(-50, 50, 101)) >= 0).all()


def test_discovered_drift_by_hand():
    log_ratio, advantage = float32(np.log([3.0, 0.5, 0.5, 3.0]), [1, 1, -1, -1])
    # A > 0: z = 2, 2 − 2 tanh 1 = 0.4768, −(3 − 0.4768); z = −0.5 < 0: no drift, −0.5.
    # A < 0: z = ln 2, ln 2 − 0.6 tanh(ln 2 / 0.6) = 0.2015, −(−0.5 − 0.2015); z < 0: no drift, 3.
    assert_close(losses.discovered_policy_loss(log_ratio, advantage), [-2.52319, -0.5, 0.70151, 3], rtol=1e-4)


def test_simple_surrogate_is_smallest_at_the_clip_bounds():
    ratio = jnp.linspace(0.5, 1.5, 1001)
    for advantage, best in ((2.0, 1.2), (-0.5, 0.8)):
        loss = jax.jit(losses.simple_policy_loss)(jnp.log(ratio), jnp.full(1001, advantage))
        assert_close(ratio[jnp.argmin(loss)], best, atol=2e-3)


def test_cispo_gradient_is_the_clipped_weight_and_never_silent():
    log_ratio, advantage = float32(np.log([9.0, 0.1, 1.0]), [1, -1, 2])

    def loss(log_prob):
        # The log-ratio depends on the same parameters; its gradient must not come back.
        return losses.cispo_loss(log_prob, log_prob + log_ratio, advantage, epsilon=0.5, epsilon_high=1.0)

    # −min(9, 2) · 1, −max(0.1, 0.5) · (−1), −1 · 2
    assert_close(gradient(loss, jnp.zeros(3)), [-2, 0.5, -2])


def test_knobs_may_be_swept():
    log_ratio, advantage = float32([0.5, -0.5], [1.0, -1.0])
    for surrogate in (losses.ppo_clip_loss, losses.simple_policy_loss):
        sweep = jax.vmap(lambda epsilon, surrogate=surrogate: surrogate(log_ratio, advantage, epsilon=epsilon))
        swept = jax.jit(sweep)(jnp.array([0.1, 0.3]))
        assert_close(swept[1], surrogate(log_ratio, advantage, epsilon=0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.ppo_clip_loss(x, x, epsilon=0.0), "ppo_clip_loss: epsilon must be positive; got 0.0"),
        (lambda x: losses.ppo_clip_loss(x, x, epsilon_high=-1.0), "ppo_clip_loss: epsilon_high must be positive"),
        (lambda x: losses.ppo_clip_loss(x, x, dual_clip=1.0), "ppo_clip_loss: dual_clip must be above 1"),
        (lambda x: losses.ppo_kl_loss(x, x, x, beta=-0.1), "ppo_kl_loss: beta must not be negative"),
        (lambda x: losses.adapt_kl_coefficient(x, x, 0.0), "adapt_kl_coefficient: target must be positive"),
        (lambda x: losses.approximate_kl(x, estimator="k4"), '"k1", "k2" or "k3"; got \'k4\''),
        (lambda x: losses.discovered_policy_loss(x, x, alpha=0.0), "discovered_policy_loss: alpha must be positive"),
        (lambda x: losses.discovered_policy_loss(x, x, beta=0.0), "discovered_policy_loss: beta must be positive"),
        (lambda x: losses.simple_policy_loss(x, x, epsilon=np.nan), "simple_policy_loss: epsilon must be positive"),
        (lambda x: losses.cispo_loss(x, x, x, epsilon_high=0.0), "cispo_loss: epsilon_high must be positive"),
        (lambda x: losses.cispo_loss(x, x, x, epsilon=0.0, epsilon_high=1.0), "cispo_loss: epsilon must be positive"),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros(2))
