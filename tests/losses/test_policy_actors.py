"""Actors that follow a critic, temperatures, and policy gradients over all actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax import losses
from faults import plant
from helpers import assert_close, float32, gradient, lenient, softmax

pytestmark = pytest.mark.slow

_ACTOR, _DISCRETE, _MPO = "bellmax.losses._actor", "bellmax.losses._discrete_policy", "bellmax.losses._mpo"


def check_dpg_gradient(dpg_loss):
    action, slope = float32([[0.5, -1.0]], [[3.0, 4.0]])
    assert_close(dpg_loss(action, slope), [12.5])
    assert_close(gradient(dpg_loss, action, slope), -slope)
    assert_close(gradient(lambda *args: dpg_loss(*args, clip=1.0), action, slope), [[-0.6, -0.8]])
    # Far from the origin a small slope keeps its digits; a huge one is clipped to its direction.
    assert_close(gradient(dpg_loss, 1e4 + action, 1e-5 * slope), -1e-5 * slope, rtol=1e-6, atol=0)
    assert_close(gradient(lambda *args: dpg_loss(*args, clip=1.0), action, 1e30 * slope), [[-0.6, -0.8]])
    # The length of the longest slope is no float32, and zeros have no direction.
    far, none = float32([[0.0, 3e38, -3e38]], [[0.0, 0.0, 0.0]])
    assert_close(gradient(lambda *args: dpg_loss(*args, clip=1.0), none, far), [[0, -np.sqrt(0.5), np.sqrt(0.5)]])
    assert_close(gradient(lambda *args: dpg_loss(*args, clip=1.0), none, none), none)
    assert_close(gradient(lambda *args: dpg_loss(*args, clip=5.0), action, slope), -slope, rtol=0, atol=0)


def test_dpg_gradient_is_minus_the_slope():
    check_dpg_gradient(losses.dpg_loss)


@pytest.mark.parametrize("clip", [None, 0.7])
def test_dpg_equals_rlax_summed_over_dimensions(clip):
    action, slope = float32(*np.random.default_rng(0).normal(size=(2, 5, 3)))
    with lenient():
        expected = jax.jit(jax.vmap(lambda a, g: rlax.dpg_loss(a, g, clip)))(action, slope).sum(-1)
    assert_close(jax.jit(lambda *args: losses.dpg_loss(*args, clip=clip))(action, slope), expected)


def test_dpg_is_the_chain_rule():
    action = jnp.array([0.3, -0.2])

    def q(action):
        return -jnp.sum(jnp.square(action - 1))

    found = gradient(losses.dpg_loss, action, gradient(q, action))
    assert_close(found, -gradient(q, action))


def test_sac_actor_by_hand():
    log_prob, q = float32([-1.0, 2.0], [3.0, 4.0])
    # 0.5 · (−1) − 3, 0.5 · 2 − 4
    assert_close(losses.sac_actor_loss(log_prob, q, 0.5), [-3.5, -3])
    assert_close(jax.grad(lambda alpha: losses.sac_actor_loss(log_prob, q, alpha).sum())(0.5), 0)


def test_temperature_forms():
    log_prob, log_alpha = jnp.array([-1.0, 3.0]), jnp.log(0.5)

    def of_alpha(log_alpha):
        return losses.temperature_loss(jnp.exp(log_alpha), log_prob, -2.0).mean()

    def of_log_alpha(log_alpha):
        return losses.temperature_loss(log_alpha, log_prob, -2.0).mean()

    # Mean of log π + H̄ is 1 − 2 = −1: entropy −1 exceeds the target −2, so α must fall: positive slopes α and 1.
    assert_close(jax.grad(of_alpha)(log_alpha), 0.5)
    assert_close(jax.grad(of_log_alpha)(log_alpha), 1.0)


def test_temperature_rises_where_entropy_is_wanting():
    assert float(jax.grad(lambda m: losses.temperature_loss(m, 1.0, -0.5).sum())(1.0)) < 0
    peaked, flat = jnp.array([9.0, 0.0]), jnp.zeros(2)
    slope = jax.grad(lambda m, logits: losses.discrete_temperature_loss(m, logits, 0.5).sum())
    assert float(slope(1.0, peaked)) < 0 < float(slope(1.0, flat))


def test_discrete_actor_is_smallest_at_the_boltzmann_policy():
    q, alpha = jnp.array([1.0, 2.0, 0.5]), 0.7
    best = q / alpha
    assert_close(gradient(lambda logits: losses.discrete_sac_actor_loss(logits, q, alpha), best), [0, 0, 0], atol=1e-6)
    # There it is −α log Σ e^{q/α}.
    assert_close(losses.discrete_sac_actor_loss(best, q, alpha), -alpha * np.log(np.exp(best).sum()))


def test_discrete_actor_is_the_expectation_of_the_sampled_one():
    logits, q = np.random.default_rng(1).normal(size=(2, 4))
    log_probs = np.log(softmax(logits))
    sampled = losses.sac_actor_loss(*float32(log_probs, q), 0.3)
    assert_close(losses.discrete_sac_actor_loss(*float32(logits, q), 0.3), np.sum(softmax(logits) * sampled))


@pytest.mark.parametrize("name", ["qpg_loss", "rm_loss", "rpg_loss"])
def test_all_action_gradients_equal_rlax(name):
    logits, q = float32(*np.random.default_rng(2).normal(size=(2, 6, 4)))
    logits = logits.at[0].set(jnp.array([0.0, 100.0, -100.0, 3.0]))
    with lenient():
        expected = jax.jit(jax.value_and_grad(getattr(rlax, name), (0, 1)))(logits, q)
    found = jax.jit(jax.value_and_grad(lambda *args: getattr(losses, name)(*args).mean(), (0, 1)))(logits, q)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert_close(one, other, rtol=1e-5, atol=1e-6)
    assert (np.asarray(found[1][1]) == 0).all()


def check_qpg_gradient(qpg_loss):
    logits, q = np.random.default_rng(3).normal(size=(2, 5, 3))
    probs = softmax(logits)
    advantage = q - np.sum(probs * q, -1, keepdims=True)
    assert_close(gradient(qpg_loss, *float32(logits, q)), -probs * advantage)


def test_mean_actor_critic_gradient():
    check_qpg_gradient(losses.qpg_loss)


def test_regret_gradients_by_hand():
    logits, q = float32([0.0, 0.0], [1.0, 3.0])
    # π = ½, mean 2, advantages −1 and 1. RM: L = −π₁ · 1; RPG: L = max(3 − Σπq, 0), slope −∂Σπq = ∓½.
    assert_close(gradient(losses.rm_loss, logits, q), [0.25, -0.25])
    assert_close(gradient(losses.rpg_loss, logits, q), [0.5, -0.5])


def check_neurd_gradient(neurd_loss):
    logits = jnp.array([[0.0, 0.0], [2.5, 2.5], [-2.5, -2.5], [-30.0, 1.0], [2.0, 2.0], [-2.0, -2.0]])
    q = jnp.array([[1.0, 3.0], [1.0, 3.0], [1.0, 3.0], [1.0, 0.0], [1.0, 3.0], [1.0, 3.0]])
    slopes = gradient(neurd_loss, logits, q)
    # Advantages ∓1. Free: 1 and −1. Past +β: only back. Past −β: only up. Fourth: mean 0, so 1 for the improbable
    # action. At ±β itself: as past it.
    assert_close(slopes, [[1, -1], [1, 0], [0, -1], [-1, 0], [1, 0], [0, -1]], atol=1e-6)


@pytest.mark.parametrize("name", ["qpg_loss", "rm_loss", "rpg_loss", "neurd_loss"])
def test_nan_is_not_taken_for_an_action_at_its_threshold(name):
    nan = jnp.nan
    logits = jnp.array([[nan, 0.0, 0.0], [0.0, 0.0, 0.0], [-9.0, -9.0, -9.0], [9.0, 9.0, -jnp.inf]])
    q = jnp.array([[1.0, 2.0, 3.0], [nan, 1.0, 1.0], [nan, 1.0, 1.0], [1.0, nan, 0.0]])
    assert np.isnan(jax.jit(getattr(losses, name))(logits, q)).all()


@pytest.mark.parametrize("name", ["qpg_loss", "rm_loss", "rpg_loss", "neurd_loss", "awr_loss"])
def test_half_precision_loses_no_digits_of_large_values(name):
    """100 ± 1 in bfloat16 is known to a half; its differences are taken in float32."""
    logits, noise = np.random.default_rng(4).normal(size=(2, 16, 4))
    narrow = [jnp.asarray(x, jnp.bfloat16) for x in (logits, 100 * (name != "awr_loss") + noise)]
    both = jax.jit(jax.value_and_grad(lambda *args: getattr(losses, name)(*args).astype(jnp.float32).sum()))
    found, expected = both(*narrow), both(*(x.astype(jnp.float32) for x in narrow))
    assert_close(found[0], expected[0], rtol=1e-2, atol=1e-2)
    assert_close(found[1], expected[1], rtol=2**-8, atol=1e-5)


def test_neurd_gradient_is_the_advantage_inside_the_threshold():
    check_neurd_gradient(losses.neurd_loss)


@pytest.mark.parametrize("name", ["qpg_loss", "rm_loss", "rpg_loss", "neurd_loss", "discrete_sac_actor_loss"])
def test_illegal_actions_change_nothing(name):
    more = (0.3,) if "sac" in name else ()
    both = jax.jit(jax.value_and_grad(lambda logits, q: getattr(losses, name)(logits, q, *more)))
    logits, q = float32([0.5, -0.5], [1.0, 2.0])
    value, slope = both(logits, q)
    for worth in (100.0, -np.inf, np.inf):
        masked = both(*float32([0.5, -0.5, -np.inf], [1.0, 2.0, worth]))
        assert_close(masked[0], value)
        assert_close(masked[1], np.append(slope, 0))


def check_penalty_gradients(kl_penalty_loss):
    slopes = jax.grad(lambda kl, alpha: kl_penalty_loss(kl, alpha, epsilon=0.2), (0, 1))(
        jnp.float32(0.5), jnp.float32(3)
    )
    # The policy feels α; the multiplier feels ε − d.
    assert_close(slopes, [3, -0.3])


def test_penalty_gradients_do_not_mix():
    check_penalty_gradients(losses.kl_penalty_loss)


@pytest.mark.parametrize(
    ("module", "name", "old", "new", "check"),
    [
        (_ACTOR, "dpg_loss", "stop_gradient(action) - action)", "stop_gradient(action) + action)", check_dpg_gradient),
        (_ACTOR, "dpg_loss", "slope + (jax", "slope - (jax", check_dpg_gradient),
        (_ACTOR, "dpg_loss", "scaled = x * scale", "scaled, scale = x, 1", check_dpg_gradient),
        (
            _DISCRETE,
            "qpg_loss",
            "-expected_value(jax.lax.stop_gradient(_r",
            "expected_value(jax.lax.stop_gradient(_r",
            check_qpg_gradient,
        ),
        (
            _DISCRETE,
            "qpg_loss",
            "jax.lax.stop_gradient(_regret(logits, probs, q))",
            "_regret(logits, probs, q)",
            check_qpg_gradient,
        ),
        (
            _DISCRETE,
            "neurd_loss",
            "regret = jax.lax.stop_gradient(_regret(",
            "regret = (_regret(",
            check_neurd_gradient,
        ),
        (
            _DISCRETE,
            "neurd_loss",
            "| ((regret <= 0) & (logits <= -threshold))",
            "",
            check_neurd_gradient,
        ),
        (_DISCRETE, "neurd_loss", "logits >= threshold", "logits > threshold", check_neurd_gradient),
        (_DISCRETE, "neurd_loss", "logits <= -threshold", "logits < -threshold", check_neurd_gradient),
        (_MPO, "kl_penalty_loss", "jax.lax.stop_gradient(multiplier) * kl", "multiplier * kl", check_penalty_gradients),
        (_MPO, "kl_penalty_loss", "epsilon - jax.lax.stop_gradient(kl)", "epsilon - kl", check_penalty_gradients),
    ],
)
def test_the_checks_see_faults(module, name, old, new, check):
    faulty = plant(module, name, old, new)
    with pytest.raises(AssertionError):
        check(faulty)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: losses.dpg_loss(x, x, clip=0.0), "dpg_loss: clip must be positive; got 0.0"),
        (lambda x: losses.sac_actor_loss(x, x, -1.0), "sac_actor_loss: alpha must not be negative"),
        (lambda x: losses.discrete_sac_actor_loss(x, x, -1.0), "discrete_sac_actor_loss: alpha must not be negative"),
        (lambda x: losses.neurd_loss(x, x, threshold=0.0), "neurd_loss: threshold must be positive"),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros(2))
