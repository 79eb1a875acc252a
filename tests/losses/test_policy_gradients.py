"""Policy gradients, entropies and divergences: by hand, by law, and against rlax."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax
from scipy import stats

from bellmax import losses
from helpers import assert_close, float32, gradient, lenient, softmax

pytestmark = pytest.mark.slow


def _logits(seed=0, batch=6, actions=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(batch, actions)), rng.integers(0, actions, batch), rng.normal(size=batch)


def _log_prob(logits, action):
    return jnp.take_along_axis(jax.nn.log_softmax(logits), action[..., None], axis=-1)[..., 0]


def _rlax(function, *args):
    with lenient():
        return jax.jit(function)(*args)


def test_policy_gradient_equals_rlax():
    logits, action, advantage = _logits()
    logits, advantage, weight = float32(logits, advantage, np.ones(6))
    action = jnp.asarray(action)
    expected = _rlax(jax.value_and_grad(rlax.policy_gradient_loss), logits, action, advantage, weight)

    def mean(logits):
        return losses.policy_gradient_loss(_log_prob(logits, action), advantage).mean()

    for one, other in zip(jax.jit(jax.value_and_grad(mean))(logits), expected, strict=True):
        assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_softmax_is_the_score_function():
    logits, action, advantage = _logits(1)

    def total(logits):
        return losses.policy_gradient_loss(_log_prob(logits, jnp.asarray(action)), advantage).sum()

    # ∂(−A log π(a))/∂logit = A (π − onehot(a))
    expected = advantage[:, None] * (softmax(logits) - np.eye(4)[action])
    assert_close(jax.jit(jax.grad(total))(*float32(logits)), expected, rtol=1e-6, atol=1e-6)


def test_gradient_of_the_gaussian_is_the_score_function():
    rng = np.random.default_rng(2)
    mu, action, advantage = rng.normal(size=(3, 5))
    logvar = rng.normal(size=5)

    def total(mu, logvar):
        log_prob = -0.5 * (jnp.square(action.astype(np.float32) - mu) * jnp.exp(-logvar) + logvar)
        return losses.policy_gradient_loss(log_prob, advantage).sum()

    slopes = jax.jit(jax.grad(total, (0, 1)))(*float32(mu, logvar))
    scaled = (action - mu) / np.exp(logvar)
    assert_close(slopes[0], -advantage * scaled)
    assert_close(slopes[1], -advantage * 0.5 * (scaled * (action - mu) - 1))


def test_no_advantage_erases_an_impossible_action_and_an_advantage_shows_it():
    log_prob, advantage = float32([-np.inf, -np.inf, np.nan], [0, 1, 1])
    np.testing.assert_array_equal(losses.policy_gradient_loss(log_prob, advantage), [0, np.inf, np.nan])


def test_cloning_equals_rlax_where_an_action_is_impossible():
    logits = jnp.array([[0.0, 1.0], [0.0, -jnp.inf], [1.0, 3.0]])
    action, weight = jnp.array([1, 1, 0]), jnp.array([1.0, 0.0, 0.5])
    import distrax

    def rlaxs(logits):
        target = rlax.PolicyTarget(actions=action, weights=weight)
        return rlax.sampled_policy_distillation_loss(distrax.Categorical(logits=logits), target)

    expected = _rlax(rlaxs, logits)
    loss = jax.jit(lambda logits: losses.behaviour_cloning_loss(_log_prob(logits, action)))(logits)
    assert_close((weight * loss).mean(), expected)
    assert float(loss[1]) == np.finfo(np.float32).max
    assert np.isnan(losses.behaviour_cloning_loss(jnp.nan))


def test_entropy_equals_rlax_and_an_entropy_bonus_flattens_the_policy():
    logits, _, weight = _logits(3)
    logits, weight = float32(logits, abs(weight))
    expected = _rlax(jax.value_and_grad(rlax.entropy_loss), logits, weight)
    found = jax.jit(jax.value_and_grad(lambda logits: (weight * losses.entropy_loss(logits)).mean()))(logits)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, rtol=1e-6, atol=1e-6)
    moved = logits - gradient(losses.entropy_loss, logits)
    assert (losses.entropy_loss(moved) < losses.entropy_loss(logits)).all()


def test_a_larger_bonus_keeps_more_entropy():
    """With no advantage at all, the sign of the entropy term decides where the policy goes."""
    logits = jnp.array([2.0, 0.0, -1.0])

    def trained(beta):
        def loss(logits):
            return losses.policy_gradient_loss(jax.nn.log_softmax(logits)[0], 0.0) + beta * losses.entropy_loss(logits)

        def step(logits, _):
            return logits - 0.5 * jax.grad(loss)(logits), None

        return -losses.entropy_loss(jax.lax.scan(step, logits, length=20)[0])

    none, some, more = (float(x) for x in jax.jit(jax.vmap(trained))(jnp.array([0.0, 0.1, 1.0])))
    assert none < some < more <= np.log(3) + 1e-6
    assert none == pytest.approx(stats.entropy(softmax(np.array([2.0, 0.0, -1.0]))), rel=1e-6)


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_categorical_divergence_equals_rlax_and_scipy():
    logits, other = np.random.default_rng(4).normal(size=(2, 5, 3)) * 3
    expected = [stats.entropy(p, q) for p, q in zip(softmax(logits), softmax(other), strict=True)]
    found = jax.jit(losses.categorical_kl)(*float32(logits, other))
    assert_close(found, expected)
    assert_close(found, _rlax(rlax.categorical_kl_divergence, *float32(logits, other)))


def test_divergence_is_infinite_where_only_the_other_is_masked_and_zero_where_both_are():
    one, other = jnp.array([0.0, 1.0, -jnp.inf]), jnp.array([0.0, -jnp.inf, -jnp.inf])
    assert float(losses.categorical_kl(one, other)) == np.inf
    assert float(losses.categorical_kl(other, one)) == pytest.approx(np.log(1 + np.e), rel=1e-6)
    assert_close(losses.categorical_kl(one, one), 0)
    assert np.isfinite(gradient(losses.categorical_kl, one, one, argnums=1)).all()


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
def test_gaussian_divergence_equals_rlax_and_a_quadrature():
    mu, logvar, other_mu, other_logvar = np.random.default_rng(5).normal(size=(4, 3, 2))
    found = jax.jit(losses.gaussian_kl)(*float32(mu, logvar, other_mu, other_logvar))
    sigmas = np.exp(0.5 * logvar), np.exp(0.5 * other_logvar)
    assert_close(found, _rlax(rlax.multivariate_normal_kl_divergence, *float32(mu, sigmas[0], other_mu, sigmas[1])))
    x = np.linspace(-12, 12, 20_001)
    p, q = stats.norm(mu[0, 0], sigmas[0][0, 0]), stats.norm(other_mu[0, 0], sigmas[1][0, 0])
    integral = np.trapezoid(p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), x)
    by_dimension = jax.jit(losses.gaussian_kl)(*(x[..., None] for x in float32(mu, logvar, other_mu, other_logvar)))
    assert_close(by_dimension[0, 0], integral)
    assert_close(by_dimension.sum(-1), found)


def test_gaussian_divergence_keeps_its_digits_far_from_the_origin():
    # ((1e4 − 10_000.0078125) / 1e-3)² / 2 = 7.8125² / 2, exact in float32.
    mu, other_mu = float32([1e4], [1e4 + 2**-7])
    logvar = jnp.full(1, np.log(1e-6), jnp.float32)
    assert_close(losses.gaussian_kl(mu, logvar, other_mu, logvar), 7.8125**2 / 2, rtol=1e-4)


@pytest.mark.parametrize("sign", [-1, 1])
def test_variances_of_many_orders_of_magnitude_are_not_clipped(sign):
    zero, far = jnp.zeros(1), jnp.full(1, sign * 60.0)
    # KL(N(0, e^ν) ‖ N(0, 1)) = ½ (e^ν − 1 − ν); of the other to it, the same of −ν.
    expected = 0.5 * (np.exp(sign * 60.0) - 1 - sign * 60)
    assert_close(jax.jit(losses.gaussian_kl)(zero, far, zero, zero), expected)
    assert_close(jax.jit(losses.gaussian_kl)(zero, zero, zero, -far), expected)
    # ½ (log 2π + ν + e^{−ν})
    cross = 0.5 * (np.log(2 * np.pi) + sign * 60 + np.exp(-sign * 60.0))
    assert_close(jax.jit(losses.gaussian_cross_entropy)(zero, far, zero, zero), cross)


def test_a_probability_that_underflows_counts_as_never():
    one, other = jnp.array([0.0, -200.0]), jnp.array([0.0, -jnp.inf])
    assert_close(losses.categorical_kl(one, other), 0)


def test_decoupled_divergences_add_up_for_the_old_variance():
    mu, logvar, new_mu, new_logvar = float32(*np.random.default_rng(6).normal(size=(4, 3, 2)))
    of_mean = losses.gaussian_kl(mu, logvar, new_mu, logvar)
    of_variance = losses.gaussian_kl(mu, logvar, mu, new_logvar)
    # KL((μ, ν) ‖ (μ', ν)) = ½ Σ (μ − μ')² e^{−ν}
    assert_close(of_mean, 0.5 * np.sum(np.square(np.asarray(mu - new_mu)) / np.exp(logvar), -1))
    assert_close(losses.gaussian_kl(mu, logvar, mu, logvar), 0)
    assert (of_variance > 0).all()


def test_gaussian_cross_entropy_is_divergence_plus_entropy_and_flat_only_where_equal():
    mu, logvar, target_mu, target_logvar = float32(*np.random.default_rng(7).normal(size=(4, 3, 2)))
    entropy = sum(stats.norm(scale=np.exp(0.5 * np.asarray(target_logvar))).entropy().T)
    kl = jax.jit(losses.gaussian_kl)(target_mu, target_logvar, mu, logvar)
    assert_close(jax.jit(losses.gaussian_cross_entropy)(mu, logvar, target_mu, target_logvar), kl + entropy)
    slopes = jax.jit(jax.grad(lambda *args: losses.gaussian_cross_entropy(*args).sum(), (0, 1)))
    for flat in slopes(mu, logvar, mu, logvar):
        assert_close(flat, 0 * mu, atol=1e-6)
    for slope in slopes(mu, logvar, target_mu, target_logvar):
        assert (abs(slope) > 1e-4).all()


@pytest.mark.parametrize("advantage", [np.ones((3, 1)), np.ones(2), np.ones(())])
def test_wrong_shapes_are_refused_by_name(advantage):
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)policy_gradient_loss.*advantage"):
        losses.policy_gradient_loss(jnp.zeros(3), advantage)


def test_half_precision_data_beside_a_wide_log_probability():
    loss = losses.policy_gradient_loss(jnp.float32([-1.0]), jnp.bfloat16([2.0]))
    assert loss.dtype == jnp.float32
    assert loss.tolist() == [2]
