import functools
import inspect

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax

import bellmax.losses
from bellmax._core import ValueTransform
from bellmax.distributional import categorical_mean, categorical_projection, linear_support
from bellmax.losses import (
    categorical_double_q_learning_loss,
    categorical_q_learning_loss,
    categorical_td_loss,
    cross_entropy_loss,
    hl_gauss_loss,
    two_hot_loss,
)
from cases.distributional import EVEN, UNEVEN
from cases.losses_distributional import categorical_q_loop, categorical_td_loop, draw_categorical_q
from helpers import assert_close, float32, gradient, lenient, n_step_loop, softmax

pytestmark = pytest.mark.slow

LOG = ValueTransform(lambda x: jnp.sign(x) * jnp.log1p(jnp.abs(x)), lambda y: jnp.sign(y) * jnp.expm1(jnp.abs(y)))

td_loss = jax.jit(categorical_td_loss, static_argnames="transform")
q_loss = jax.jit(categorical_q_learning_loss, static_argnames="transform")
_their_td_loss = jax.jit(rlax.categorical_td_learning)
double_q_loss = jax.jit(categorical_double_q_learning_loss)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _mapped(function, axes, *args):
    return jax.vmap(function, axes)(*args)


def _drawn(seed=0, batch=(5,), support=EVEN):
    drawn = draw_categorical_q(np.random.default_rng(seed), batch, support)
    arrays = {name: jnp.asarray(x, jnp.float32) for name, x in drawn.items() if name != "action"}
    return drawn, {**arrays, "action": jnp.asarray(drawn["action"])}


def _of_rlax(function, arrays, *more):
    """rlax takes the atoms of both times."""
    axes = (None, 0, 0, 0, 0, None, 0, *(0 for _ in more))
    a = arrays
    with lenient():
        return _mapped(
            function,
            axes,
            a["support"],
            a["logits"],
            a["action"],
            a["reward"],
            a["discount"],
            a["support"],
            a["next_logits"],
            *more,
        )


def test_cross_entropy_by_hand():
    # Probabilities ¼ and ¾ against ½ and ½: −½ ln ¼ − ½ ln ¾
    logits = jnp.log(jnp.array([1.0, 3.0]))
    assert_close(cross_entropy_loss(logits, jnp.array([0.5, 0.5])), -0.5 * np.log(3 / 16))


def test_gradient_of_the_cross_entropy_is_prediction_less_target():
    rng = np.random.default_rng(0)
    logits, target = float32(rng.normal(size=(4, 6)), softmax(rng.normal(size=(4, 6))))
    assert_close(gradient(cross_entropy_loss, logits, target), softmax(logits) - np.asarray(target))
    at_best = gradient(cross_entropy_loss, jnp.log(target), target)
    assert_close(at_best, np.zeros((4, 6)), atol=1e-6)


def test_cross_entropy_of_masked_logits():
    logits, target = jnp.array([0.0, -jnp.inf, 0.0]), jnp.array([0.5, 0.0, 0.5])
    assert_close(cross_entropy_loss(logits, target), np.log(2))
    assert_close(gradient(cross_entropy_loss, logits, target), [0, 0, 0])
    assert cross_entropy_loss(logits, jnp.array([0.5, 0.5, 0.0])) == np.inf


def test_cross_entropy_equals_rlax():
    rng = np.random.default_rng(1)
    logits, target = float32(rng.normal(size=(4, 6)), softmax(rng.normal(size=(4, 6))))
    with lenient(), pytest.warns(PendingDeprecationWarning):
        expected = rlax.categorical_cross_entropy(target, logits)
    assert_close(cross_entropy_loss(logits, target), expected, rtol=1e-6)


def test_td_by_hand():
    # R = 1, γ = ½ over atoms 0 1 2: they move to 1, 1.5, 2, and the middle third is shared.
    logits = jnp.log(jnp.array([0.2, 0.3, 0.5]))
    loss = td_loss(logits, jnp.array([0.0, 1.0, 2.0]), 1.0, 0.5, jnp.zeros(3))
    assert_close(loss, -0.5 * np.log(0.3) - 0.5 * np.log(0.5))


@pytest.mark.parametrize("atoms", [EVEN, UNEVEN], ids=["even", "uneven"])
def test_all_three_equal_rlax(atoms):
    _, a = _drawn(2, (40,), atoms)
    _close_to_rlax(a)
    edges = {"discount": jnp.ones(40), "reward": jnp.asarray(np.resize([0, 1, -1, 100, -100, 0.5], 40), jnp.float32)}
    _close_to_rlax({**a, **edges})
    _close_to_rlax({**a, **edges, "discount": jnp.zeros(40)})


def _close_to_rlax(a):
    assert_close(q_loss(**a), _of_rlax(rlax.categorical_q_learning, a))
    selector = a["logits"][..., 0]
    double = double_q_loss(**a, next_q_selector=selector)
    assert_close(double, _of_rlax(rlax.categorical_double_q_learning, a, selector))
    logits, next_logits = a["logits"][:, 0], a["next_logits"][:, 0]
    with lenient():
        expected = _mapped(
            rlax.categorical_td_learning,
            (None, 0, 0, 0, None, 0),
            a["support"],
            logits,
            a["reward"],
            a["discount"],
            a["support"],
            next_logits,
        )
    assert_close(td_loss(logits, a["support"], a["reward"], a["discount"], next_logits), expected)


def test_another_support_for_the_next_distribution_is_two_lines():
    rng = np.random.default_rng(3)
    atoms, next_atoms = linear_support(-2, 2, 5), linear_support(-3, 1, 9)
    logits, next_logits = float32(rng.normal(size=5), rng.normal(size=9))
    target = jax.jit(categorical_projection)(0.3 + 0.9 * next_atoms, jax.nn.softmax(next_logits), atoms)
    with lenient():
        expected = _their_td_loss(atoms, logits, 0.3, 0.9, next_atoms, next_logits)
    assert_close(cross_entropy_loss(logits, target), expected)


def test_target_is_data_where_rlax_gives_nan():
    _, a = _drawn(4, (3,))
    atoms, logits, next_logits = a["support"], a["logits"][:, 0], a["next_logits"][:, 0]
    reward, discount = jnp.full(3, 9.0), jnp.ones(3)  # all atoms past the end: bins without mass
    slopes = gradient(td_loss, logits, atoms, reward, discount, next_logits, argnums=(1, 2, 3, 4))
    assert all((np.asarray(slope) == 0).all() for slope in slopes)

    def theirs(next_logits):
        return rlax.categorical_td_learning(atoms, logits[0], reward[0], discount[0], atoms, next_logits, False)

    with lenient(), pytest.warns(PendingDeprecationWarning):
        assert np.isnan(jax.jit(jax.grad(theirs))(next_logits[0])).any()


def test_double_with_its_own_means_is_q_learning():
    _, a = _drawn(5)
    means = categorical_mean(jax.nn.softmax(a["next_logits"]), a["support"])
    assert_close(double_q_loss(**a, next_q_selector=means), q_loss(**a))


def test_masked_next_actions_are_not_chosen():
    drawn, a = _drawn(6)
    a["discount"] = drawn["discount"] = np.ones(5)
    for allowed in range(3):
        selector = np.full((5, 3), -np.inf)
        selector[:, allowed] = -100
        masked = jnp.asarray(drawn["next_logits"], jnp.float32).at[:, (allowed + 1) % 3].set(-jnp.inf)
        found = double_q_loss(**{**a, "next_logits": masked}, next_q_selector=selector)
        assert_close(found, categorical_q_loop(**drawn, next_q_selector=selector))


def test_zero_discount_erases_the_next_distribution():
    drawn, a = _drawn(7)
    a["discount"] = drawn["discount"] = np.zeros(5)
    expected = categorical_q_loop(**drawn)
    for poison in (-np.inf, np.nan):
        poisoned = {**a, "next_logits": jnp.full((5, 3, 5), poison)}
        assert_close(q_loss(**poisoned), expected)
        selector = jnp.full((5, 3), poison)
        assert_close(double_q_loss(**poisoned, next_q_selector=selector), expected)


def test_nan_and_actions_outside_stay_visible():
    _, a = _drawn(8)
    a["discount"] = jnp.ones(5)
    unknown = {**a, "next_logits": a["next_logits"].at[0, 2, 1].set(jnp.nan)}
    np.testing.assert_array_equal(np.isnan(q_loss(**unknown)), [True] + 4 * [False])
    selector = jnp.zeros((5, 3)).at[1, 2].set(jnp.nan)
    found = double_q_loss(**a, next_q_selector=selector)
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False, False])
    outside = {**a, "action": jnp.array([-1, 3, 0, 1, 2])}
    np.testing.assert_array_equal(np.isnan(q_loss(**outside)), [True, True, False, False, False])


def test_transform_moves_atoms_in_the_units_of_the_environment():
    """A head over f(value) is told f(R + γ f⁻¹(z)), and acts on the mean of f⁻¹(z)."""
    atoms = np.linspace(-4, 4, 9)
    drawn, a = _drawn(9, (8,), atoms)
    assert_close(q_loss(**a, transform=LOG), categorical_q_loop(**drawn, transform=LOG))
    # Action 0 is sure of f = 1, action 1 has f = −4 or f = 4 at 0.41 and 0.59: which is better depends on the units.
    near = 1e-4
    probs = np.full((2, 9), near)
    probs[0, 5] = 1
    probs[1, [0, 8]] = 0.41, 0.59
    probs /= probs.sum(-1, keepdims=True)
    logits = jnp.asarray(np.log(probs), jnp.float32)
    bent = probs @ (np.sign(atoms) * np.expm1(abs(atoms)))
    assert probs[0] @ atoms > probs[1] @ atoms
    assert bent[1] > bent[0]
    args = (jnp.zeros((2, 9)).at[:, 0].set(3.0), jnp.asarray(atoms, jnp.float32), 0, 0.0, 1.0)
    chosen = [td_loss(args[0][0], *args[1:2], 0.0, 1.0, each, transform=LOG) for each in logits]
    assert_close(q_loss(*args, logits, transform=LOG), chosen[1])
    assert abs(chosen[0] - chosen[1]) > 0.1
    assert_close(q_loss(*args, logits), td_loss(args[0][0], args[1], 0.0, 1.0, logits[0]))


def test_greedy_action_of_half_precision_is_that_of_its_logits_in_float32():
    """Two means that differ by less than a bfloat16 of their probabilities: the greater one is chosen."""
    support = linear_support(-10, 10, 51)
    rng = np.random.default_rng(12)
    next_logits = jnp.asarray(rng.normal(0, 0.05, (64, 4, 51)), jnp.bfloat16)
    means = softmax(np.asarray(next_logits, np.float64)) @ np.asarray(support, np.float64)
    logits = jnp.asarray(rng.normal(size=(64, 4, 51)), jnp.bfloat16)
    rest = (jnp.zeros(64, jnp.int32), jnp.zeros(64), jnp.ones(64))
    found = q_loss(logits, support, *rest, next_logits)
    assert found.dtype == jnp.float32
    expected = double_q_loss(logits, support, *rest, next_logits, next_q_selector=jnp.asarray(means, jnp.float32))
    np.testing.assert_array_equal(found, expected)


def test_mixed_types_are_taken():
    half, wide = jnp.array([0.0, 1.0, 2.0], jnp.bfloat16), jnp.array([0.0, 1.0, 2.0])
    for one, other in ((half, wide), (wide, half)):
        assert_close(cross_entropy_loss(one, other / 3), cross_entropy_loss(wide, wide / 3), rtol=1e-2)
        assert_close(td_loss(one, other, 1.0, 0.5, one), td_loss(wide, wide, 1.0, 0.5, wide), rtol=1e-6)
        for loss in (two_hot_loss, hl_gauss_loss):
            assert loss(one, other, 0.5).dtype == jnp.float32
            assert_close(loss(one, other, 0.5), loss(wide, wide, 0.5), rtol=1e-6)


def test_critic_of_d4pg_is_the_td_loss_on_n_step_rewards():
    rng = np.random.default_rng(10)
    rewards, gamma, n = rng.normal(size=3), 0.9, 3
    logits, next_logits = float32(rng.normal(size=5), rng.normal(size=5))
    atoms = linear_support(-2, 2, 5)
    reward = n_step_loop(rewards[:, None], np.full((3, 1), gamma), np.zeros((3, 1)), n)[0, 0]
    ours = td_loss(logits, atoms, float(reward), gamma**n, next_logits)
    assert_close(ours, categorical_td_loop(logits, np.asarray(atoms), reward, np.array(gamma**n), next_logits))
    with lenient():
        expected = _their_td_loss(atoms, logits, float(reward), gamma**n, atoms, next_logits)
    assert_close(ours, expected)


def test_importance_weights_are_the_callers_one_line():
    drawn, a = _drawn(11)
    weight = np.array([0.0, 1.0, 2.0, 0.5, 4.0])
    ours = (jnp.asarray(weight, jnp.float32) * q_loss(**a)).mean()
    losses = categorical_q_loop(**drawn)
    assert_close(ours, sum(weight * losses) / 5)
    assert abs(float(ours) - losses.mean()) > 0.1

    def total(logits):
        return (jnp.asarray(weight, jnp.float32) * q_loss(**{**a, "logits": logits})).mean()

    assert (jax.grad(total)(a["logits"])[0] == 0).all()


def test_learning_with_two_hot_finds_the_mean_between_atoms():
    support = jnp.array([-1.0, 0.0, 2.0, 5.0])
    targets = jnp.array([0.5, 3.5])
    for loss, tolerance in ((two_hot_loss, 1e-3), (functools.partial(hl_gauss_loss, sigma=0.2), 0.2)):
        descend = jax.grad(lambda logits, loss=loss: loss(jnp.stack([logits, logits]), support, targets).mean())
        logits = jax.lax.fori_loop(0, 1500, lambda _, x, descend=descend: x - 2 * descend(x), jnp.zeros(4))
        assert_close(categorical_mean(jax.nn.softmax(logits), support), 2, atol=tolerance)


def test_none_has_a_switch_for_gradients():
    for function in (categorical_td_loss, categorical_q_learning_loss, two_hot_loss, hl_gauss_loss, cross_entropy_loss):
        assert not [name for name in inspect.signature(function).parameters if "gradient" in name]


def test_atoms_that_do_not_increase_are_refused():
    with pytest.raises(ValueError, match="the support must be finite and strictly increasing"):
        categorical_td_loss(jnp.zeros(3), jnp.array([0.0, 2.0, 1.0]), 0.0, 1.0, jnp.zeros(3))
    for loss in (two_hot_loss, hl_gauss_loss):
        with pytest.raises(ValueError, match="the support must be finite and strictly increasing"):
            loss(jnp.zeros(3), jnp.array([0.0, 2.0, 1.0]), 0.0)
    with pytest.raises(ValueError, match="sigma must be above 0"):
        hl_gauss_loss(jnp.zeros(3), jnp.arange(3.0), 0.0, sigma=-1)


def test_wrong_shapes_are_refused_by_name():
    _, a = _drawn()
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_q_learning_loss.*reward"):
        categorical_q_learning_loss(**{**a, "reward": a["reward"][:, None]})
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_q_learning_loss.*support"):
        categorical_q_learning_loss(**{**a, "support": a["support"][:-1]})
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)categorical_td_loss.*next_logits"):
        bellmax.losses.categorical_td_loss(
            a["logits"][:, 0], a["support"], a["reward"], a["discount"], a["next_logits"]
        )
