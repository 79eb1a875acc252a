"""What value-based policies promise, one behaviour a test."""

from fractions import Fraction

import equinox as eqx
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import special

from bellmax._core import Spaces
from bellmax.algorithms import DQN
from bellmax.networks import MLP, CategoricalMean, EveryAction, QuantileMean
from bellmax.policies import Boltzmann, EpsilonGreedy, Greedy, boltzmann, epsilon_greedy
from helpers import CountedTraces, assert_close, assert_frequencies, float32, lenient

pytestmark = pytest.mark.slow

_tables = hnp.arrays(np.int32, (3, 4), elements=st.integers(-2, 2))
_greedy_probs = jax.jit(lambda q, eps: epsilon_greedy(q, eps).probs)
_boltzmann_probs = jax.jit(lambda q, tau: boltzmann(q, tau).probs)


def _network(key, size=4):
    return MLP(jnp.zeros(3), size, (5,), key=key)


_OBSERVATION = jnp.array([0.3, -1.0, 2.0])


# --- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EpsilonGreedy, Boltzmann, Greedy])
@pytest.mark.parametrize("wrong", [None, 3, "q", jnp.zeros(4), [1.0, 2.0]])
def test_what_is_no_value_function_is_refused(policy, wrong):
    with pytest.raises(TypeError, match=rf"{policy.__name__}: q must map an observation to an array.*; got"):
        policy(wrong)


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3])])
def test_actions_that_are_not_discrete_are_refused_by_name(space, getkey):
    with pytest.raises(TypeError, match=type(space).__name__):
        DQN().init(Spaces(spaces.Box(-1, 1, (3,)), space), key=getkey())


def test_the_defaults():
    assert_close(EpsilonGreedy(lambda s: s).eps, 0.1)
    assert_close(Boltzmann(lambda s: s).tau, 0.02)


@pytest.mark.parametrize("eps", [-0.1, 1.5, np.nan])
def test_epsilon_outside_zero_to_one_is_refused(eps):
    with pytest.raises(ValueError, match=r"EpsilonGreedy: eps must be in \[0, 1\]; got"):
        EpsilonGreedy(lambda s: s, eps)


@pytest.mark.parametrize("tau", [0, -1.0, np.nan])
def test_a_temperature_that_is_not_positive_is_refused(tau):
    with pytest.raises(ValueError, match="Boltzmann: tau must be positive; got"):
        Boltzmann(lambda s: s, tau)


# --- ε-greedy --------------------------------------------------------------------------------------------------------


def test_it_acts_as_the_rule_in_two_stages():
    rng, q, eps, size = np.random.default_rng(0), np.array([0.0, 2.0, 2.0, 1.0]), 0.3, 100_000
    best = rng.choice([1, 2], size)
    simulated = np.where(rng.uniform(size=size) < eps, rng.integers(0, 4, size), best)
    probs = epsilon_greedy(*float32(q), eps).probs
    assert_frequencies(simulated, np.asarray(probs, np.float64))
    drawn = EpsilonGreedy(lambda s: s, eps)(*float32(q)).sample(seed=jax.random.key(0), sample_shape=size)
    assert_frequencies(drawn, np.asarray(probs, np.float64))


@hypothesis.given(_tables, st.fractions(0, 1, max_denominator=16))
def test_epsilon_is_spread_over_all_actions_and_ties_split_the_rest(q, eps):
    expected = [
        [(1 - eps) * Fraction(int(x == max(row)), list(row).count(max(row))) + eps / Fraction(4) for x in row]
        for row in q
    ]
    assert all(sum(row) == 1 for row in expected)
    assert_close(_greedy_probs(q, float(eps)), np.array(expected, float), rtol=1e-6, atol=1e-7)


def test_log_probabilities_are_normalised_and_bounded_below():
    q, logits_of = np.random.default_rng(0).normal(size=(20, 4)), jax.jit(lambda q, eps: epsilon_greedy(q, eps).logits)
    for x64, tolerance in ((False, 1e-6), (True, 1e-12)):
        with jax.enable_x64(x64):
            for eps in (0.0, 0.1, 1.0):
                logits = logits_of(jnp.asarray(q, float), eps)
                assert np.isfinite(logits).all()
                assert_close(special.logsumexp(logits, axis=-1), np.zeros(20), atol=tolerance)
    assert_close(logits_of(jnp.array([0.0, 1.0]), 0.0)[0], -34.538776)


@hypothesis.given(_tables, st.sampled_from([-3, 1, 64]), st.sampled_from([0.125, 2.0, 1024.0]))
def test_only_differences_matter_and_to_epsilon_greedy_only_their_order(q, shift, scale):
    q = q.astype(np.float32)
    expected = _greedy_probs(q, 0.2)
    assert_close(_greedy_probs(q + shift, 0.2), expected, rtol=0, atol=0)
    assert_close(_greedy_probs(q * scale, 0.2), expected, rtol=0, atol=0)
    assert_close(_boltzmann_probs(q + shift, 0.5), _boltzmann_probs(q, 0.5), atol=1e-6)
    assert_close(_boltzmann_probs(q * scale, 0.5), _boltzmann_probs(q, 0.5 / scale), atol=1e-6)


# --- Boltzmann -------------------------------------------------------------------------------------------------------


def test_it_is_the_softmax_of_values_over_temperature():
    q = np.random.default_rng(1).normal(size=(20, 4))
    for tau in (0.02, 0.1, 1.0, 30.0):
        expected = special.log_softmax(q / tau, axis=-1)
        assert_close(boltzmann(*float32(q), tau).logits, expected, rtol=1e-5, atol=2e-5)
        with jax.enable_x64(True), lenient():
            assert_close(boltzmann(jnp.asarray(q), tau).logits, expected, rtol=1e-6, atol=1e-6)


def test_its_entropy_rises_with_temperature_from_ties_to_uniform():
    entropies = jax.jit(jax.vmap(lambda q, tau: boltzmann(q, tau).entropy(), in_axes=(None, 0)))
    q, taus = jnp.array([1.0, 3.0, 3.0, -1.0]), jnp.asarray(np.logspace(-6, 6, 49), jnp.float32)
    for scale in (1.0, 1e6):
        entropy = np.asarray(entropies(scale * q, taus))
        assert np.isfinite(entropy).all()
        assert (np.diff(entropy) >= -1e-6).all()
        assert_close(entropy[0], np.log(2))
        if scale == 1:
            assert_close(entropy[-1], np.log(4))


def test_it_weighs_what_the_network_returns():
    assert_close(Boltzmann(jnp.square, 0.5)(jnp.array([1.0, 2.0])).logits, special.log_softmax([2.0, 8.0]))


# --- any value function ----------------------------------------------------------------------------------------------


def _value_functions(key):
    """Every kind of q over the same numbers: means of distributions, and one action at a time."""
    atoms = jnp.array([-1.0, 0.5, 4.0])
    network = _network(key, 12)
    table = lambda s: network(s).reshape(4, 3)  # noqa: E731
    of_one = lambda s, action: action @ table(s)  # noqa: E731
    return {
        "categorical": (CategoricalMean(table, atoms), CategoricalMean(of_one, atoms)),
        "quantile": (QuantileMean(table), QuantileMean(of_one)),
        "plain": (lambda s: table(s)[:, 0], lambda s, action: action @ table(s)[:, 0]),
    }


@pytest.mark.parametrize("kind", ["categorical", "quantile", "plain"])
def test_a_value_of_one_action_and_values_of_all_give_the_same_policy(kind, getkey):
    every, one = _value_functions(getkey())[kind]
    pi, other = (eqx.filter_jit(Boltzmann(q))(_OBSERVATION) for q in (every, EveryAction(one, 4)))
    assert_close(other.probs, pi.probs)
    assert pi.probs.shape == (4,)


def test_the_mean_of_a_distribution_is_what_is_compared(getkey):
    values = _value_functions(getkey())
    logits = np.asarray(values["quantile"][0].network(_OBSERVATION), np.float64)
    mean = special.softmax(logits, axis=-1) @ np.array([-1.0, 0.5, 4.0])
    pi = Boltzmann(values["categorical"][0], 0.5)(_OBSERVATION)
    assert_close(pi.logits, special.log_softmax(mean / 0.5))
    assert_close(Boltzmann(values["quantile"][0], 0.5)(_OBSERVATION).logits, special.log_softmax(logits.mean(-1) / 0.5))


# --- acting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda q: EpsilonGreedy(q, 0.3), lambda q: Boltzmann(q, 0.5), Greedy])
def test_the_log_probability_returned_is_that_of_the_action_returned(make):
    pi = eqx.filter_jit(make(lambda s: s))(jnp.array([0.3, -1.0, 2.0, 0.5]))
    draw = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=1000))
    actions, log_probs = draw(pi, jax.random.key(0))
    assert all(spaces.Discrete(4).contains(np.asarray(action)) for action in actions[:20])
    logits = np.asarray(pi.logits, np.float64)
    assert_close(log_probs, (logits - special.logsumexp(logits))[np.asarray(actions)], atol=1e-6)
    # So the ratio of a policy to itself is one.
    again = jax.jit(lambda pi, actions: pi.log_prob(actions))(pi, actions)
    assert_close(np.exp(again - log_probs), np.ones(1000), atol=1e-6)


def test_the_mode_is_greedy_and_the_same_for_all(getkey):
    q = _network(getkey())
    best = int(jnp.argmax(q(_OBSERVATION)))
    assert {int(make(q)(_OBSERVATION).mode()) for make in (EpsilonGreedy, Boltzmann, Greedy)} == {best}


def test_parameters_are_of_one_example_and_vmap_equals_a_loop():
    policy, observations = Boltzmann(jnp.square, 0.5), jnp.array([[1.0, 0.5, -2.0], [0.0, 3.0, 1.0]])
    logits = jax.jit(lambda observation: policy(observation).logits)
    assert_close(jax.vmap(logits)(observations), jnp.stack([logits(each) for each in observations]), atol=1e-6)
    assert eqx.tree_equal(eqx.combine(*eqx.partition(policy, eqx.is_array)), policy)


# --- as pytrees ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [EpsilonGreedy, Boltzmann])
def test_a_knob_can_be_scheduled_without_recompiling(policy, getkey):
    pi, name = policy(_network(getkey())), "eps" if policy is EpsilonGreedy else "tau"
    counted = CountedTraces(lambda pi, observation: pi(observation).probs)
    act = eqx.filter_jit(counted)
    seen = []
    for knob in (0.1, 0.5, 0.9):
        seen.append(act(eqx.tree_at(lambda pi: getattr(pi, name), pi, jnp.float32(knob)), _OBSERVATION))
        act(policy(pi.q, knob), _OBSERVATION)
    assert counted.count == 1
    assert not np.allclose(seen[0], seen[1])


def test_randomness_comes_from_the_key_alone_and_state_is_the_networks(getkey):
    class Shifted(eqx.Module):
        network: MLP
        shift: jax.Array  # such as running statistics

        def __call__(self, observation):
            return self.network(observation) + self.shift

    policy = EpsilonGreedy(Shifted(_network(getkey()), jnp.zeros(4)), 0.5)
    act = eqx.filter_jit(lambda policy, key: policy(_OBSERVATION).sample(seed=key, sample_shape=20))
    first, key = getkey(), getkey()
    np.testing.assert_array_equal(act(policy, first), act(policy, first))
    assert (np.asarray(act(policy, first)) != np.asarray(act(policy, key))).any()
    moved = eqx.tree_at(lambda policy: policy.q.shift, policy, jnp.array([0.0, 0.0, 0.0, 100.0]))
    assert int(moved(_OBSERVATION).mode()) == 3


def test_its_gradient_is_where_it_should_be(getkey):
    q = _network(getkey())
    slope_of = eqx.filter_jit(eqx.filter_grad(lambda policy: policy(_OBSERVATION).log_prob(jnp.array(1))))
    slope = slope_of(EpsilonGreedy(q, 0.3))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope.q))
    assert slope.eps != 0
    slope = slope_of(Boltzmann(q, 0.5))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert any((leaf != 0).any() for leaf in jax.tree.leaves(slope.q))
    assert slope.tau != 0
