import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy import stats

from bellmax._core import ValueTransform
from bellmax.distributional import pool_quantiles, quantile_fractions, quantile_mean, quantile_midpoints
from bellmax.losses import (
    fqf_fraction_loss,
    quantile_expected_sarsa_loss,
    quantile_huber_loss,
    quantile_q_learning_loss,
)
from cases.distributional import pool_loop
from cases.losses_distributional import (
    draw_quantile_q,
    quantile_expected_sarsa_loop,
    quantile_huber_loop,
    quantile_q_loop,
)
from helpers import assert_close, float32, gradient, lenient, softmax

pytestmark = pytest.mark.slow

DOUBLING = ValueTransform(lambda x: x / 2, lambda y: 2 * y)
KAPPAS = (0.0, 0.25, 1.0, 3.0)

huber_loss = jax.jit(quantile_huber_loss)
q_loss = jax.jit(quantile_q_learning_loss, static_argnames="transform")
sarsa_loss = jax.jit(quantile_expected_sarsa_loss)


def _drawn(seed=0, batch=(5,)):
    drawn = draw_quantile_q(np.random.default_rng(seed), batch)
    arrays = {name: jnp.asarray(x, jnp.float32) for name, x in drawn.items() if name != "action"}
    return drawn, {**arrays, "action": jnp.asarray(drawn["action"])}


def _samples(seed=0, batch=4, ties=True):
    rng = np.random.default_rng(seed)
    quantiles, targets = 2 * rng.normal(size=(batch, 3)), 2 * rng.normal(size=(batch, 5))
    if ties:
        targets[0, :3], targets[1, 0] = quantiles[0], quantiles[1, 1] + 1
    return quantiles, np.array([0.1, 0.5, 0.9]), targets


def test_by_hand():
    # u = 3 at τ = ¼: ¼(3 − ½) = 0.625; u = −1 at τ = ¾: ¼·½ = 0.125
    loss = huber_loss(jnp.array([0.0, 4.0]), jnp.array([0.25, 0.75]), jnp.array([3.0]))
    assert_close(loss, 0.75)
    # κ = 2: ¼(3 − 1) = 0.5; ¼·1/(2·2) = 0.0625
    loss = huber_loss(jnp.array([0.0, 4.0]), jnp.array([0.25, 0.75]), jnp.array([3.0]), kappa=2)
    assert_close(loss, 0.5625)


@pytest.mark.parametrize("kappa", KAPPAS)
def test_equals_rlax_up_to_kappa(kappa):
    args = float32(*_samples())
    with lenient():
        expected = jax.vmap(rlax.quantile_regression_loss, (0, None, 0, None))(*args, kappa)
    assert_close((kappa or 1) * huber_loss(*args, kappa=kappa), expected)
    assert_close(huber_loss(*args, kappa=kappa), quantile_huber_loop(*_samples(), kappa=kappa))


def test_kappa_may_be_swept_down_to_zero():
    args = float32(*_samples())
    swept = jax.jit(jax.vmap(lambda kappa: huber_loss(*args, kappa=kappa)))(jnp.array(KAPPAS))
    for kappa, loss in zip(KAPPAS, swept, strict=True):
        assert_close(loss, quantile_huber_loop(*_samples(), kappa=kappa))
    tiny = huber_loss(*args, kappa=1e-6)
    assert_close(tiny, swept[0], atol=1e-5)
    slopes = jax.vmap(jax.grad(lambda q, kappa: huber_loss(q, *args[1:], kappa=kappa).sum()), (None, 0))
    assert np.isfinite(jax.jit(slopes)(args[0], jnp.array([0.0, 1e-30, 1.0]))).all()
    with pytest.raises(ValueError, match="quantile_huber_loss: kappa must be at least 0"):
        quantile_huber_loss(*args, kappa=-0.1)


def test_fractions_outside_are_refused_and_nan_stays_visible():
    _, a = _drawn()
    a = {name: x for name, x in a.items() if name != "fractions"}
    calls = {
        "quantile_huber_loss": lambda tau: quantile_huber_loss(jnp.zeros(3), tau, jnp.zeros(2)),
        "quantile_q_learning_loss": lambda tau: quantile_q_learning_loss(fractions=tau, **a),
        "quantile_expected_sarsa_loss": lambda tau: quantile_expected_sarsa_loss(
            fractions=tau, next_probs=jnp.full((5, 2), 0.5), **a
        ),
        "fqf_fraction_loss": lambda tau: fqf_fraction_loss(tau, jnp.zeros(3), jnp.zeros(4)),
    }
    for name, call in calls.items():
        for outside in (-0.1, 1.1):
            with pytest.raises(ValueError, match=rf"{name}: fractions must lie in \[0, 1\]"):
                call(jnp.array([0.1, outside, 0.5]))
    assert np.isnan(huber_loss(jnp.zeros(2), jnp.array([0.5, jnp.nan]), jnp.ones(2)))


def test_gradient_by_hand():
    # −(τ − 1{u<0}) clip(u, ±1) averaged over targets, for u of 2, −½ and −½, −3.
    args = float32([0.0, 2.5], [0.25, 0.75], [2.0, -0.5])
    expected = [(-0.25 + 0.75 * 0.5) / 2, (0.25 * 0.5 + 0.25 * 1) / 2]
    assert_close(gradient(huber_loss, *args), expected)


def test_targets_are_data_where_rlax_lets_their_gradient_through():
    args = float32(*_samples())
    for argnum in (1, 2):
        assert (np.asarray(gradient(huber_loss, *args, argnums=argnum)) == 0).all()
    with lenient():
        theirs = jax.grad(rlax.quantile_regression_loss, 2)(args[0][1], args[1], args[2][1], 1.0, True)
    assert (np.asarray(theirs) != 0).any()


def test_constants_of_other_libraries():
    quantiles, fractions, targets = _samples()
    u = targets[:, None, :] - quantiles[:, :, None]
    rho = abs(fractions[:, None] - (u < 0)) * np.where(abs(u) <= 1, u**2 / 2, abs(u) - 0.5)
    ours = huber_loss(*float32(quantiles, fractions, targets))
    assert_close(ours / 3, rho.mean((1, 2)))  # Stable Baselines3's truncated critics: means over both
    assert_close(ours * 5 / 3, rho.sum(2).mean(1))  # coax: a sum over targets, a mean over quantiles


def test_descent_finds_the_quantiles():
    fractions = quantile_midpoints(5)
    samples = jnp.asarray(stats.expon.ppf(quantile_midpoints(500)), jnp.float32)
    descend = jax.grad(lambda q: huber_loss(q, fractions, samples, kappa=0.0))
    found = jax.lax.fori_loop(0, 4000, lambda _, q: q - 0.02 * descend(q), jnp.zeros(5))
    assert_close(found, stats.expon.ppf(fractions), atol=0.02)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _mapped(function, kappa, *args):
    return jax.vmap(functools.partial(function, huber_param=kappa), (0, None, 0, 0, 0, 0, 0))(*args)


def _of_rlax(function, a, third, kappa):
    """rlax has quantiles before actions."""
    turned = {name: jnp.swapaxes(a[name], -1, -2) for name in ("quantiles", "next_quantiles")}
    with lenient():
        return _mapped(
            function,
            kappa,
            turned["quantiles"],
            a["fractions"],
            a["action"],
            a["reward"],
            a["discount"],
            *third(turned["next_quantiles"]),
        )


@pytest.mark.parametrize("kappa", [0.0, 1.0])
def test_q_learning_and_expected_sarsa_equal_rlax(kappa):
    drawn, a = _drawn(1, (30,))
    theirs = _of_rlax(rlax.quantile_q_learning, a, lambda next_q: (next_q, next_q), kappa)
    assert_close(q_loss(**a, kappa=kappa), theirs)
    # Another selector, as double learning has: its means choose.
    other = jnp.swapaxes(a["quantiles"], -1, -2)
    theirs = _of_rlax(rlax.quantile_q_learning, a, lambda next_q: (other, next_q), kappa)
    double = q_loss(**a, next_q_selector=quantile_mean(a["quantiles"]), kappa=kappa)
    assert_close(double, theirs)
    probs = softmax(np.random.default_rng(2).normal(size=(30, 2)))
    probs[0] = [0, 1]
    theirs = _of_rlax(rlax.quantile_expected_sarsa, a, lambda next_q: (next_q, *float32(probs)), kappa)
    ours = sarsa_loss(**a, next_probs=probs, kappa=kappa)
    assert_close(ours, theirs)
    # An average of losses over actions is the loss against the mixture of atoms.
    assert_close(ours, quantile_expected_sarsa_loop(**drawn, next_probs=probs, kappa=kappa))


def test_greedy_expected_sarsa_is_q_learning():
    _, a = _drawn(3)
    greedy = jax.nn.one_hot(jnp.argmax(quantile_mean(a["next_quantiles"]), -1), 2)
    assert_close(sarsa_loss(**a, next_probs=greedy), q_loss(**a))


def test_zero_discount_erases_the_next_quantiles():
    drawn, a = _drawn(4)
    a["discount"] = drawn["discount"] = np.zeros(5)
    for poison in (-np.inf, np.inf, np.nan):
        poisoned = {**a, "next_quantiles": jnp.full((5, 2, 4), poison)}
        assert_close(q_loss(**poisoned), quantile_q_loop(**drawn))
        assert_close(sarsa_loss(**poisoned, next_probs=jnp.full((5, 2), 0.5)), quantile_q_loop(**drawn))


def test_masked_next_actions_are_neither_chosen_nor_averaged():
    drawn, a = _drawn(5)
    a["discount"] = drawn["discount"] = np.ones(5)
    masked = {**a, "next_quantiles": a["next_quantiles"].at[:, 1].set(-jnp.inf)}
    only = {**drawn, "next_quantiles": drawn["next_quantiles"][:, [0, 0]]}
    assert_close(q_loss(**masked), quantile_q_loop(**only))
    assert_close(sarsa_loss(**masked, next_probs=np.eye(2)[[0] * 5]), quantile_q_loop(**only))


def test_nan_and_actions_outside_stay_visible():
    _, a = _drawn(6)
    a["discount"] = jnp.ones(5)
    unknown = {**a, "next_quantiles": a["next_quantiles"].at[0, 1, 2].set(jnp.nan)}
    np.testing.assert_array_equal(np.isnan(q_loss(**unknown)), [True] + 4 * [False])
    even = jnp.full((5, 2), 0.5)
    np.testing.assert_array_equal(np.isnan(sarsa_loss(**unknown, next_probs=even)), [True] + 4 * [False])
    outside = {**a, "action": jnp.array([-1, 2, 0, 1, 0])}
    np.testing.assert_array_equal(np.isnan(q_loss(**outside)), [True, True, False, False, False])


def test_transform_is_of_the_quantiles():
    drawn, a = _drawn(7)
    expected = quantile_q_loop(**drawn, transform=DOUBLING)
    assert_close(q_loss(**a, transform=DOUBLING), expected)
    half = {**a, "reward": a["reward"] / 2}  # f(R + γ 2q) = R/2 + γq
    assert_close(q_loss(**half), expected)


def test_implicit_quantiles_draw_their_own_fractions_for_each_example():
    """IQN: 6 fractions for the prediction, 3 for the target, of a quantile function that is known."""
    keys = jax.random.split(jax.random.key(0))
    fractions, next_fractions = jax.random.uniform(keys[0], (5, 6)), jax.random.uniform(keys[1], (5, 3))
    quantiles = jnp.stack([fractions, 2 * fractions], axis=1)
    next_quantiles = jnp.stack([next_fractions - 1, 1 + next_fractions**2], axis=1)
    rest = (jnp.zeros(5, jnp.int32), *float32([0.1, 0.2, 0.3, 0.4, 0.5], np.full(5, 0.9)))
    ours = q_loss(quantiles, fractions, *rest, next_quantiles)
    targets = np.asarray(rest[1])[:, None] + 0.9 * np.asarray(next_quantiles[:, 1], np.float64)
    assert_close(ours, quantile_huber_loop(fractions, fractions, targets))


def test_truncated_critics_against_numpy():
    """TQC: each critic against the smallest of the pooled next quantiles, with the entropy bonus."""
    rng = np.random.default_rng(8)
    critics, next_critics = rng.normal(size=(2, 3, 4, 5))
    reward, log_prob = rng.normal(size=(2, 4))
    discount, alpha, fractions = np.array([0.9, 0.0, 0.9, 0.9]), 0.2, np.asarray(quantile_midpoints(5), np.float64)
    pooled = pool_quantiles(*float32(next_critics), drop_per_member=2)
    targets = reward[:, None] + discount[:, None] * (np.asarray(pooled) - alpha * log_prob[:, None])
    ours = jax.vmap(huber_loss, (0, None, None))(*float32(critics, fractions, targets))
    y = reward[:, None] + discount[:, None] * (pool_loop(next_critics, 2) - alpha * log_prob[:, None])
    expected = [quantile_huber_loop(critic, fractions, y) for critic in critics]
    assert_close(ours, expected)


def test_importance_weights_are_the_callers_one_line():
    drawn, a = _drawn(9)
    weight = np.array([0.0, 1.0, 2.0, 0.5, 4.0])
    ours = (jnp.asarray(weight, jnp.float32) * q_loss(**a)).mean()
    assert_close(ours, sum(weight * quantile_q_loop(**drawn)) / 5)


def test_fraction_loss_has_the_gradient_of_the_wasserstein_distance():
    """Against finite differences of ∫ |F⁻¹(ω) − F⁻¹(τ̂_i)| dω for F⁻¹(ω) = ω³, integrated by hand."""

    def antiderivative(x):
        return x**4 / 4

    def distance(inner):
        edges = np.concatenate([[0], inner, [1]])
        total = 0.0
        for low, high in itertools.pairwise(edges):
            middle = (low + high) / 2
            total += middle**3 * (middle - low) - (antiderivative(middle) - antiderivative(low))
            total += antiderivative(high) - antiderivative(middle) - middle**3 * (high - middle)
        return total

    inner = np.array([0.2, 0.45, 0.8])
    step = 1e-5 * np.eye(3)
    expected = [(distance(inner + each) - distance(inner - each)) / 2e-5 for each in step]
    edges = np.concatenate([[0], inner, [1]])
    args = float32(inner, inner**3, ((edges[1:] + edges[:-1]) / 2) ** 3)
    assert_close(gradient(fqf_fraction_loss, *args), expected)


def test_fraction_loss_moves_proposals_to_where_steps_fit_best():
    """Of ω² with two steps: 2 F⁻¹(τ) = F⁻¹(τ/2) + F⁻¹((1 + τ)/2), so 3τ²/2 − τ/2 − ¼ = 0."""
    best = np.roots([2 - 0.5, -0.5, -0.25]).max()

    def loss(logits):
        cut = quantile_fractions(logits)
        inner = cut.edges[1:-1]
        return fqf_fraction_loss(inner, inner**2, cut.midpoints**2)

    logits = jax.lax.fori_loop(0, 2000, lambda _, x: x - 0.5 * jax.grad(loss)(x), jnp.array([1.0, -1.0]))
    assert_close(quantile_fractions(logits).edges[1], best, atol=1e-3)


def test_fraction_loss_leaves_the_quantiles_alone():
    args = float32([0.3, 0.6], [1, 2], [0, 1, 3])
    for argnum in (1, 2):
        assert (np.asarray(gradient(fqf_fraction_loss, *args, argnums=argnum)) == 0).all()


def test_gradient_towards_a_target_that_is_nan_is_nan():
    def loss(quantiles, target):
        return huber_loss(quantiles, jnp.array([0.25, 0.75]), jnp.array([0.5, target]))

    slope = jax.jit(jax.grad(loss))
    assert np.isfinite(slope(jnp.zeros(2), 3.0)).all()
    assert np.isnan(slope(jnp.zeros(2), jnp.nan)).all()
