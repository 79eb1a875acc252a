import equinox as eqx
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import rlax
from jax.test_util import check_grads
from scipy import special, stats

from bellmax.policies import bernoulli, boltzmann, categorical, epsilon_greedy, greedy, multi_discrete
from helpers import (
    assert_close,
    assert_frequencies,
    check_boltzmann_cold,
    check_boltzmann_masked_gradient,
    check_boltzmann_probs,
    check_categorical_entropy,
    check_categorical_frequencies,
    check_categorical_log_prob,
    check_epsilon_greedy_frequencies,
    check_epsilon_greedy_probs,
    discrete_entropy,
    epsilon_greedy_probs,
    float32,
    lenient,
    softmax,
)

# Few distinct values, so that ties are common.
_q = hnp.arrays(np.float32, (3, 4), elements=st.sampled_from([-2.0, 0.0, 0.5, 1.0, 100.0]))
_masked_q = hnp.arrays(np.float32, (3, 4), elements=st.sampled_from([-np.inf, -2.0, 0.0, 0.5, 1.0]))
_eps = hnp.arrays(np.float32, 3, elements=st.sampled_from([0.0, 0.125, 0.5, 1.0]))
_tau = hnp.arrays(np.float32, 3, elements=st.sampled_from([1e-6, 0.125, 1.0, 8.0, 1e6]))
_greedy_parts = jax.jit(lambda q, eps: (lambda pi: (pi.probs, pi.entropy()))(epsilon_greedy(q, eps)))
_boltzmann_parts = jax.jit(lambda q, tau: (lambda pi: (pi.probs, pi.entropy()))(boltzmann(q, tau)))
_categorical_parts = jax.jit(lambda logits: (lambda pi: (pi.probs, pi.entropy()))(categorical(logits)))

# --- epsilon-greedy --------------------------------------------------------------------------------------------------


def test_epsilon_greedy_by_hand():
    check_epsilon_greedy_probs(epsilon_greedy)


@hypothesis.given(_masked_q, _eps)
def test_epsilon_greedy_equals_numpy_on_any_input(q, eps):
    probs, entropy = _greedy_parts(q, eps)
    expected = epsilon_greedy_probs(q, eps)
    assert_close(probs, expected, atol=1e-6)
    assert_close(entropy, discrete_entropy(expected))


def test_epsilon_greedy_does_not_feel_the_scale():
    q = float32(np.random.default_rng(0).normal(size=(5, 4)))[0]
    for scale in (1e-6, 1e6):
        assert_close(epsilon_greedy(scale * q, 0.2).probs, epsilon_greedy(q, 0.2).probs, rtol=1e-6)


def test_epsilon_greedy_one_number_equals_one_an_example():
    q = float32(np.random.default_rng(0).normal(size=(5, 4)))[0]
    expected = epsilon_greedy(q, jnp.full(5, 0.25)).probs
    for eps in (0.25, jnp.float32(0.25), np.float64(0.25)):
        assert_close(epsilon_greedy(q, eps).probs, expected, rtol=0, atol=0)
    assert_close(epsilon_greedy(q, 1).probs, np.full((5, 4), 0.25))
    assert_close(epsilon_greedy(q, jnp.array(1)).probs, np.full((5, 4), 0.25))


def test_epsilon_greedy_draws_each_action_as_often_as_it_says_and_never_an_impossible_one():
    check_epsilon_greedy_frequencies(epsilon_greedy)


def test_epsilon_greedy_without_epsilon_stays_finite():
    q = float32([1.0, 3.0, 0.0])[0]
    pi = epsilon_greedy(q, 0.0)
    assert_close(pi.log_prob(jnp.arange(3)), [np.log(1e-15), 0, np.log(1e-15)])
    assert_close(pi.entropy(), 0)

    def numbers(q, eps):
        pi = epsilon_greedy(q, eps)
        return jnp.sum(pi.log_prob(jnp.arange(3))) + pi.entropy() + pi.kl_divergence(epsilon_greedy(q, 0.5))

    for eps in (0.0, 1.0):
        for slope in jax.jit(jax.grad(numbers, (0, 1)))(q, jnp.float32(eps)):
            assert np.isfinite(slope).all()


def test_epsilon_greedy_log_prob_has_the_right_slope_in_epsilon():
    # p(greedy) = 1 − ε + ε/4, the others ε/4: slopes of the logs are −¾ / (1 − ¾ε) and 1/ε.
    q = float32([0.0, 1.0, 2.0, 3.0])[0]
    slope = jax.jacobian(lambda eps: epsilon_greedy(q, eps).log_prob(jnp.arange(4)))(jnp.float32(0.4))
    assert_close(slope, [2.5, 2.5, 2.5, -0.75 / 0.7])


@pytest.mark.parametrize("eps", [2, -0.1, np.nan, 1.0000001, np.inf, jnp.array([0.5, 2.0])])
def test_epsilon_outside_zero_to_one_is_refused(eps):
    with pytest.raises(ValueError, match=r"epsilon_greedy: eps must be in \[0, 1\]; got"):
        epsilon_greedy(jnp.ones((2, 3)), eps)


def test_epsilon_outside_zero_to_one_is_not_seen_under_jit():
    probs = jax.jit(lambda q, eps: epsilon_greedy(q, eps).probs)
    probs(jnp.ones(3), 2.0)
    assert np.isnan(probs(jnp.ones(3), jnp.nan)).all()


# --- Boltzmann -------------------------------------------------------------------------------------------------------


def test_boltzmann_equals_numpy():
    check_boltzmann_probs(boltzmann)


@hypothesis.given(_q, _tau)
def test_boltzmann_equals_numpy_on_any_input(q, tau):
    probs, entropy = _boltzmann_parts(q, tau)
    expected = softmax(q.astype(np.float64) / tau[:, None].astype(np.float64))
    assert_close(probs, expected)
    assert_close(entropy, discrete_entropy(expected))


def test_boltzmann_towards_zero_is_greedy_with_ties_sharing_alike():
    check_boltzmann_cold(boltzmann)


def test_boltzmann_towards_infinity_is_uniform_over_what_is_allowed():
    q = float32([[1.0, 5.0, -3.0], [1.0, 5.0, -np.inf]])[0]
    assert_close(boltzmann(q, 1e6).probs, [[1 / 3] * 3, [0.5, 0.5, 0]])


def test_boltzmann_feels_only_q_over_tau():
    q = float32(np.random.default_rng(0).normal(size=(5, 4)))[0]
    assert_close(boltzmann(8 * q, 8 * 0.3).probs, boltzmann(q, 0.3).probs)


def test_boltzmann_at_temperature_one_is_the_categorical():
    q = float32(np.random.default_rng(0).normal(size=(5, 4)))[0]
    assert_close(boltzmann(q, 1).logits, categorical(q).logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tau", [1e-6, 1.0, 1e6])
def test_boltzmann_log_probs_and_gradients_are_finite_at_any_temperature(tau):
    q = float32([1.0, 3.0, 3.0])[0]

    def numbers(q, tau):
        pi = boltzmann(q, tau)
        return jnp.sum(pi.log_prob(jnp.arange(3))) + pi.entropy()

    assert np.isfinite(numbers(q, tau))
    for slope in jax.jit(jax.grad(numbers, (0, 1)))(q, jnp.float32(tau)):
        assert np.isfinite(slope).all()


def test_boltzmann_gradient_beside_a_masked_action_is_finite():
    check_boltzmann_masked_gradient(boltzmann)


def test_boltzmann_temperature_feels_a_masked_action_not_at_all():
    def log_prob(tau, q):
        return boltzmann(*float32(q), tau).log_prob(jnp.array(0))

    slope = jax.grad(log_prob)(jnp.float32(0.5), [1.0, 3.0, -np.inf])
    assert_close(slope, jax.grad(log_prob)(jnp.float32(0.5), [1.0, 3.0]))


@pytest.mark.parametrize("tau", [0, -1, 0.0, np.nan, jnp.array([1.0, 0.0])])
def test_a_temperature_that_is_not_positive_is_refused(tau):
    with pytest.raises(ValueError, match="boltzmann: tau must be positive; got"):
        boltzmann(jnp.ones((2, 3)), tau)


def test_a_temperature_that_is_not_positive_counts_as_the_smallest_under_jit():
    probs = jax.jit(lambda q, tau: boltzmann(q, tau).probs)
    for tau in (0.0, -1.0):
        assert_close(probs(jnp.array([1.0, 2.0, 2.0]), tau), [0, 0.5, 0.5])
    assert np.isnan(probs(jnp.ones(3), jnp.nan)).all()


def test_boltzmann_draws_each_action_as_often_as_it_says():
    q = np.array([1.0, 3.0, -np.inf, 2.0])
    actions = boltzmann(*float32(q), 2.0).sample(seed=jax.random.key(2), sample_shape=100_000)
    assert_frequencies(actions, softmax(q / 2))


# --- categorical -----------------------------------------------------------------------------------------------------


def test_categorical_by_hand():
    check_categorical_log_prob(categorical)


def test_categorical_entropy_by_hand():
    check_categorical_entropy(categorical)


def test_categorical_draws_each_action_as_often_as_it_says():
    check_categorical_frequencies(categorical)


@hypothesis.given(_q)
def test_categorical_equals_scipy_on_any_input(logits):
    probs, entropy = _categorical_parts(logits)
    assert_close(probs, special.softmax(logits.astype(np.float64), axis=-1))
    assert_close(entropy, stats.entropy(special.softmax(logits.astype(np.float64), axis=-1), axis=-1))


def test_categorical_log_probs_equal_scipy_in_both_precisions():
    logits = np.random.default_rng(0).normal(0, 5, size=(6, 5))
    expected = special.log_softmax(logits, axis=-1)
    assert_close(categorical(*float32(logits)).logits, expected)
    with jax.enable_x64(True), lenient():
        pi = categorical(jnp.asarray(logits, jnp.float64))
        assert_close(pi.logits, expected, rtol=1e-6, atol=1e-6)
        assert_close(pi.entropy(), stats.entropy(np.exp(expected), axis=-1), rtol=1e-6, atol=1e-6)


def test_categorical_mask_of_minus_infinity_gives_finite_gradients():
    def numbers(logits):
        pi = categorical(logits)
        return pi.log_prob(jnp.array(0)) + pi.entropy()

    slope = jax.grad(numbers)(*float32([1.0, 2.0, -np.inf]))
    assert np.isfinite(slope).all()
    assert slope[2] == 0
    assert_close(slope[:2], jax.grad(numbers)(*float32([1.0, 2.0])))


def test_categorical_without_a_finite_logit_is_nan():
    assert np.isnan(categorical(jnp.full(3, -jnp.inf)).probs).all()


# --- all -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["epsilon_greedy", "boltzmann", "categorical"])
def test_gradients_match_finite_differences(name):
    q = np.array([[0.3, -1.0, 2.0, 0.5]])
    with jax.enable_x64(True), lenient():
        makers = {
            "epsilon_greedy": lambda q, knob: epsilon_greedy(q, knob),
            "boltzmann": lambda q, knob: boltzmann(q, knob),
            "categorical": lambda q, knob: categorical(knob[:, None] * q),
        }

        def numbers(q, knob):
            pi, other = makers[name](q, knob), makers[name](q[:, ::-1], knob)
            return pi.log_prob(jnp.array([1])) + 2 * pi.entropy() + 3 * pi.kl_divergence(other)

        args = (jnp.asarray(q), jnp.array([0.4]))
        check_grads(jax.jit(numbers), args, order=1, modes=("fwd", "rev"), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("maker", [epsilon_greedy, boltzmann])
@pytest.mark.parametrize("transform", [jax.jit, eqx.filter_jit])
def test_guards_raise_at_run_time_when_asked_for(maker, transform, monkeypatch):
    name = "eps" if maker is epsilon_greedy else "tau"
    # An error inside a plain jit reaches Python as a RuntimeError at the first call, as a ValueError later.
    error = RuntimeError if transform is eqx.filter_jit else (RuntimeError, ValueError)
    monkeypatch.setenv("BELLMAX_GUARDS", "1")
    guarded = transform(lambda q, knob: maker(q, knob).probs)
    assert_close(guarded(jnp.ones(3), jnp.float32(0.5)), np.full(3, 1 / 3))
    with pytest.raises(error, match=f"{name} must be"):
        jax.block_until_ready(guarded(jnp.ones(3), jnp.float32(-1.0)))


@pytest.mark.parametrize("maker", [epsilon_greedy, boltzmann])
def test_a_knob_of_the_wrong_shape_is_refused(maker):
    name = "eps" if maker is epsilon_greedy else "tau"
    for knob in (jnp.ones((2, 1)), jnp.ones(3), jnp.ones((2, 3)), None, "high"):
        with pytest.raises(jaxtyping.TypeCheckError, match=rf"(?s){maker.__name__}.*{name}"):
            maker(jnp.ones((2, 3)), knob)


@pytest.mark.parametrize("maker", [lambda q: epsilon_greedy(q, 0.5), lambda q: boltzmann(q, 0.5), categorical])
def test_values_that_are_not_numbers_are_refused(maker):
    for wrong in (jnp.ones((2, 3), bool), [1.0, 2.0], 1.0, None):
        with pytest.raises(jaxtyping.TypeCheckError):
            maker(wrong)
    # Integers and NumPy arrays are.
    assert maker(np.arange(3)).probs.dtype == jnp.float32


def test_epsilon_outside_its_range_counts_as_the_nearest_bound_under_jit():
    q = jnp.array([0.0, 1.0, 2.0, 3.0])
    probs = jax.jit(lambda eps: epsilon_greedy(q, eps).probs)
    np.testing.assert_allclose(probs(1.5), np.full(4, 0.25))
    np.testing.assert_allclose(probs(-0.5), [0, 0, 0, 1])


def test_no_finite_value_gives_no_silent_policy():
    assert jnp.isnan(epsilon_greedy(jnp.full(3, -jnp.inf), 0.1).probs).all()


@pytest.mark.parametrize("tau", [0.0, -1.0, 1e-20, 1e-6])
def test_boltzmann_is_finite_in_value_and_gradient_at_the_coldest(tau):
    log_prob = lambda tau: boltzmann(jnp.array([1.0, 1.0, 3.0]), tau).log_prob(2)  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(log_prob))(jnp.array(tau))
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint32])
@pytest.mark.parametrize("options", [128, 200, 256, 257])
def test_actions_of_few_bits_choose_among_many(dtype, options):
    pi = categorical(jnp.arange(options) / options)
    action = jnp.array([3, 100], dtype)
    expected = special.log_softmax(np.arange(options) / options)[[3, 100]]
    assert_close(pi.log_prob(action), expected)
    assert_close(pi.prob(action), np.exp(expected))
    both = multi_discrete(jnp.arange(options) / options, (options - 1, 1))
    assert_close(both.log_prob(jnp.array([[3, 0]], dtype)), special.log_softmax(np.arange(options - 1) / options)[[3]])


def test_the_least_uniform_number_draws_no_action_that_is_all_but_impossible(monkeypatch):
    # Were zero among the numbers drawn, it would draw what comes first, however unlikely.
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype, minval=0.0: jnp.full(shape, minval, dtype))
    pi = categorical(jnp.array([-30.0, 0.0, -30.0]))
    assert int(pi.sample(seed=jax.random.key(0))) == 1
    assert bernoulli(jnp.array([-30.0, 30.0])).sample(seed=jax.random.key(0)).tolist() == [0, 1]


def test_infinite_values_take_all_and_share_alike():
    q = jnp.array([1.0, np.inf, -2.0, np.inf])
    assert_close(boltzmann(q, 0.5).probs, [0, 0.5, 0, 0.5])
    assert_close(greedy(q).probs, [0, 0.5, 0, 0.5])
    assert_close(epsilon_greedy(q, 0.4).probs, [0.1, 0.4, 0.1, 0.4])
    assert np.isfinite(jax.grad(lambda q: boltzmann(q, 0.5).log_prob(1))(q)).all()


# --- rlax ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Rlax")
@pytest.mark.parametrize("name", ["epsilon_greedy", "greedy", "boltzmann", "categorical"])
def test_equals_rlax(name):
    q = np.random.default_rng(0).normal(size=(6, 4))
    q[0], q[1], q[2, :2] = 1.0, [0.0, 2.0, 2.0, -1.0], 50.0
    action = np.array([0, 1, 2, 3, 0, 1])
    with lenient():
        theirs, pi = {
            "epsilon_greedy": lambda q: (rlax.epsilon_greedy(0.3), epsilon_greedy(q, 0.3)),
            "greedy": lambda q: (rlax.greedy(), greedy(q)),
            "boltzmann": lambda q: (rlax.softmax(0.5), boltzmann(q, 0.5)),
            "categorical": lambda q: (rlax.softmax(), categorical(q)),
        }[name](*float32(q))
        assert_close(pi.probs, theirs.probs(*float32(q)))
        assert_close(pi.entropy(), theirs.entropy(*float32(q)))
        expected = np.asarray(theirs.logprob(action, *float32(q)))
    # Where rlax has −∞ for an action that is not greedy, the log-probability is bounded below.
    assert_close(pi.log_prob(action), np.maximum(expected, np.log(1e-15)) if "greedy" in name else expected)


@pytest.mark.parametrize("eps", [0.0, 1.0])
def test_the_slope_in_epsilon_at_its_bounds_is_that_of_the_inside(eps):
    # d p / dε = −¾ for the best of four, ¼ for the others.
    slope = jax.jacobian(lambda eps: epsilon_greedy(jnp.array([0.0, 1.0, 2.0, 3.0]), eps).probs)(eps)
    assert_close(slope, [0.25, 0.25, 0.25, -0.75])
