"""What holds for every distribution: it passes every transform, and keeps its class and its numbers."""

import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from jax.sharding import AxisType, PartitionSpec

from bellmax._core import Distribution
from bellmax.policies import (
    bernoulli,
    beta,
    boltzmann,
    categorical,
    deterministic,
    epsilon_greedy,
    gaussian,
    joint,
    multi_discrete,
    random_policy,
    squashed_gaussian,
    truncated_gaussian,
)
from helpers import (
    CountedTraces,
    assert_close,
    discrete_kl,
    epsilon_greedy_probs,
    float32,
    gaussian_kl,
    lenient,
    softmax,
)

_RNG = np.random.default_rng(0)
_Q = _RNG.normal(size=(4, 3))
_MU, _LOGVAR = _RNG.normal(size=(2, 4, 3))
_LOW, _HIGH = np.tile([-1.0, -2.0, 0.0], (4, 1)), np.tile([1.0, 4.0, 2.0], (4, 1))

# Maker from two arrays with batch axes in front, the arrays, and the distrax class it belongs to.
DISTRIBUTIONS = {
    "epsilon_greedy": (epsilon_greedy, (_Q, np.array([0.1, 0.3, 0.5, 0.9])), distrax.EpsilonGreedy),
    "boltzmann": (boltzmann, (_Q, np.array([0.5, 1.0, 2.0, 4.0])), distrax.Softmax),
    "categorical": (categorical, (_Q,), distrax.Categorical),
    "bernoulli": (bernoulli, (_Q,), distrax.Independent),
    "gaussian": (gaussian, (_MU, _LOGVAR), distrax.Independent),
    "squashed_gaussian": (squashed_gaussian, (_MU / 2, _LOGVAR / 2 - 1, _LOW, _HIGH), distrax.Independent),
    "truncated_gaussian": (truncated_gaussian, (_MU, _LOGVAR, _LOW, _HIGH), distrax.Independent),
    "beta": (beta, (np.exp(_MU) + 1, np.exp(_LOGVAR) + 1, _LOW, _HIGH), distrax.Independent),
}
DISCRETE = ("epsilon_greedy", "boltzmann", "categorical")
every = pytest.mark.parametrize("name", DISTRIBUTIONS)
# Those whose leaves are not their parameters, or whose slopes are zero, from one array.
OTHERS = {
    "multi_discrete": lambda x: multi_discrete(x, (1, 2)),
    "joint": lambda x: joint((categorical(x), gaussian(x, x))),
    "deterministic": deterministic,
    "random": lambda x: jax.vmap(lambda _: random_policy(spaces.Box(-1, 1, x.shape[1:], np.float32)))(x),
}
every_of_all = pytest.mark.parametrize("name", [*DISTRIBUTIONS, *OTHERS])
every_discrete = pytest.mark.parametrize("name", DISCRETE)


def _make(name, dtype=jnp.float32):
    if name in OTHERS:
        return OTHERS[name](jnp.asarray(_Q, dtype))
    maker, parameters, _ = DISTRIBUTIONS[name]
    return maker(*(jnp.asarray(x, dtype) for x in parameters))


def _actions(name):
    if name == "bernoulli":
        return jnp.array(_MU > 0, jnp.int8)
    return jnp.array([0, 2, 1, 1]) if name in DISCRETE else jnp.full((4, 3), 0.3)


_log_prob = jax.jit(lambda pi, action: pi.log_prob(action))
_entropy = jax.jit(lambda pi: pi.entropy())


def _assert_same(actual, expected, name):
    assert type(actual) is type(expected)
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert leaf.dtype == other.dtype
        np.testing.assert_array_equal(leaf, other)
    actions = _actions(name)
    assert_close(_log_prob(actual, actions), _log_prob(expected, actions), rtol=1e-6, atol=1e-6)


def _log_prob_of(name):
    actions = _actions(name)
    return lambda pi: (pi, pi.log_prob(actions))


# --- interface -------------------------------------------------------------------------------------------------------


@every
def test_is_a_distrax_distribution_of_the_right_kind(name):
    pi = _make(name)
    assert isinstance(pi, distrax.Distribution)
    assert isinstance(pi, DISTRIBUTIONS[name][2])
    assert isinstance(pi, Distribution)
    assert name in DISCRETE or isinstance(pi, distrax.Independent)
    assert name not in DISCRETE or isinstance(pi, distrax.Categorical)


@every
def test_shapes_and_type_of_samples(name, getkey):
    pi, key = _make(name), getkey()
    event = () if name in DISCRETE else (3,)
    assert pi.batch_shape == (4,)
    assert pi.event_shape == event
    for sample_shape in ((), 5, (2, 5)):
        lead = (sample_shape,) if isinstance(sample_shape, int) else sample_shape
        actions, log_probs = jax.eval_shape(
            lambda sample_shape=sample_shape: pi.sample_and_log_prob(seed=key, sample_shape=sample_shape)
        )
        assert actions.shape == (*lead, 4, *event)
        assert actions.dtype == pi.dtype == _actions(name).dtype
        assert log_probs.shape == (*lead, 4)
        assert jax.eval_shape(pi.log_prob, actions).shape == (*lead, 4)
    assert jax.eval_shape(pi.mode).shape == (4, *event)
    assert jax.eval_shape(pi.entropy).shape == (4,)
    assert jax.eval_shape(pi.kl_divergence, pi).shape == (4,)


@jax.jit
def _numbers(pi, key):
    actions, log_prob = pi.sample_and_log_prob(seed=key)
    return actions, log_prob, pi.entropy(), pi.kl_divergence(pi)


@every
def test_sample_and_log_prob_agree_with_each_other_and_with_sample(name, getkey):
    pi, key = _make(name), getkey()
    actions, log_probs = jax.jit(lambda: pi.sample_and_log_prob(seed=key, sample_shape=6))()
    assert_close(log_probs, _log_prob(pi, actions))
    assert_close(actions, jax.jit(lambda: pi.sample(seed=key, sample_shape=6))(), rtol=1e-6, atol=1e-6)


@every
def test_without_batch_axes(name, getkey):
    maker, parameters, _ = DISTRIBUTIONS[name]
    pi, whole = maker(*(jnp.asarray(x[0], jnp.float32) for x in parameters)), _make(name)
    assert pi.batch_shape == ()
    assert_close(_entropy(pi), _entropy(whole)[0])
    assert_close(_log_prob(pi, _actions(name)[0]), _log_prob(whole, _actions(name))[0])
    assert jax.eval_shape(lambda: pi.sample(seed=getkey())).shape == pi.event_shape


@every
def test_batch_axes_equal_vmap_equal_a_loop(name):
    maker, parameters, _ = DISTRIBUTIONS[name]
    parameters = float32(*parameters)
    native = _make(name)
    mapped = jax.jit(jax.vmap(maker))(*parameters)
    _assert_same(mapped, native, name)
    one = jax.jit(lambda action, *parameters: maker(*parameters).log_prob(action))
    looped = [one(_actions(name)[i], *(x[i] for x in parameters)) for i in range(4)]
    assert_close(np.array(looped), _log_prob(native, _actions(name)), rtol=1e-6, atol=1e-6)


@every
def test_indexing_takes_from_the_batch_and_keeps_the_class(name):
    pi, entropy = _make(name), np.asarray(_entropy(_make(name)))
    for index in (1, -1, slice(1, 3), np.array([0, 3]), None, (..., 1)):
        part = pi[index]
        assert type(part) is type(pi)
        assert_close(_entropy(part), entropy[index])
    for outside in (4, -5, (0, 1), np.array([0, 4]), jnp.array(4)):
        with pytest.raises(IndexError):
            pi[outside]
    assert len([*pi]) == 4
    assert_close(jax.jit(lambda pi, index: pi[index].entropy())(pi, 3), entropy[3])


@every
def test_says_its_name_and_parameters(name):
    text = repr(_make(name))
    assert type(_make(name)).__name__ in text
    assert len(text.splitlines()) < 30


@pytest.mark.slow
@every
def test_log_probs_entropies_and_divergences_are_float32_or_wider(name):
    actions, *numbers = _numbers(_make(name, jnp.bfloat16), jax.random.key(0))
    own = _actions(name).dtype
    assert actions.dtype == (jnp.bfloat16 if own == jnp.float32 else own)
    for number in numbers:
        assert number.dtype == jnp.float32
        assert np.isfinite(number).all()
    assert_close(numbers[1], _numbers(_make(name), jax.random.key(0))[2], rtol=0.02, atol=0.02)
    with jax.enable_x64(True):
        _, *numbers = _numbers(_make(name, jnp.float64), jax.random.key(0))
        assert all(number.dtype == jnp.float64 and np.isfinite(number).all() for number in numbers)


@every_of_all
def test_in_half_precision_the_log_probability_is_that_of_the_rounded_sample(name):
    if name == "squashed_gaussian":
        pytest.skip("scores the draw before it is squashed, which the rounded action cannot give back")
    pi, key = _make(name, jnp.bfloat16), jax.random.key(0)
    actions, log_probs = jax.jit(lambda pi: pi.sample_and_log_prob(seed=key, sample_shape=50))(pi)
    again = jax.jit(lambda pi, actions: pi.log_prob(actions))(pi, actions)
    assert_close(np.exp(again - log_probs), np.ones((50, 4)), rtol=0, atol=1e-6)


# --- transforms ------------------------------------------------------------------------------------------------------


@every
def test_jit(name):
    pi = _make(name)
    _assert_same(jax.jit(lambda pi: pi)(pi), pi, name)
    out, log_prob = eqx.filter_jit(_log_prob_of(name))(pi)
    _assert_same(out, pi, name)
    assert_close(log_prob, _log_prob(pi, _actions(name)), rtol=1e-6, atol=1e-6)


@every
def test_vmap(name):
    pi = _make(name)
    _assert_same(eqx.filter_vmap(lambda pi: pi)(pi), pi, name)
    out, log_prob = jax.jit(jax.vmap(lambda pi, action: (pi, pi.log_prob(action))))(pi, _actions(name))
    _assert_same(out, pi, name)
    assert_close(log_prob, _log_prob(pi, _actions(name)), rtol=1e-6, atol=1e-6)


@every
def test_vmap_over_samples_keeps_lanes_apart(name, getkey):
    pi = _make(name)
    keys = jax.random.split(getkey(), 4)
    actions = jax.jit(jax.vmap(lambda pi, key: pi.sample(seed=key)))(pi, keys)
    one = jax.jit(lambda pi, key: pi.sample(seed=key))
    apart = jnp.stack([one(pi[i], keys[i]) for i in range(4)])
    assert_close(actions, apart, rtol=1e-6, atol=1e-6)


@every
def test_pmap(name):
    pi = _make(name)
    out, log_prob = jax.pmap(lambda pi, action: (pi, pi.log_prob(action)))(pi, _actions(name))
    _assert_same(out, pi, name)
    assert_close(log_prob, _log_prob(pi, _actions(name)), rtol=1e-6, atol=1e-6)


@every
def test_shard_map(name):
    mesh = jax.make_mesh((4,), ("devices",), axis_types=(AxisType.Auto,))
    spread = PartitionSpec("devices")
    pi = _make(name)
    function = jax.shard_map(
        lambda pi, action: (pi, pi.log_prob(action)),
        mesh=mesh,
        in_specs=(spread, spread),
        out_specs=(spread, spread),
        check_vma=False,
    )
    out, log_prob = jax.jit(function)(pi, _actions(name))
    _assert_same(out, pi, name)
    assert_close(log_prob, _log_prob(pi, _actions(name)), rtol=1e-6, atol=1e-6)


@every
def test_scan_carry_and_output(name):
    pi, actions = _make(name), _actions(name)
    out, (kept, log_probs) = jax.lax.scan(lambda pi, _: (pi, (pi, pi.log_prob(actions))), pi, length=3)
    _assert_same(out, pi, name)
    _assert_same(jax.tree.map(lambda leaf: leaf[1], kept), pi, name)
    assert_close(log_probs[2], _log_prob(pi, actions), rtol=1e-6, atol=1e-6)


@every
def test_cond(name):
    pi = _make(name)
    other = jax.tree.map(lambda leaf: leaf / 2, pi)
    for which, expected in ((True, pi), (False, other)):
        _assert_same(jax.lax.cond(which, lambda: pi, lambda: other), expected, name)


@every
def test_tree_map_and_paths(name):
    pi = _make(name)
    _assert_same(jax.tree.map(lambda leaf: leaf, pi), pi, name)
    assert len(jax.tree.leaves(pi)) == len(type(pi).leaves)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(pi)]
    assert len(set(paths)) == len(paths)


class _Holder(eqx.Module):
    pi: distrax.Distribution
    label: str = "kept"


@every
def test_filter_grad_as_a_field_of_a_module(name):
    pi, actions = _make(name), _actions(name)
    grad = eqx.filter_grad(lambda holder: jnp.sum(holder.pi.log_prob(actions)))
    slope = eqx.filter_jit(grad)(_Holder(pi))
    assert type(slope.pi) is type(pi)
    leaves = jax.tree.leaves(slope)
    assert len(leaves) == len(jax.tree.leaves(pi))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    assert any(np.any(leaf != 0) for leaf in leaves)


@every
def test_filter_eval_shape(name):
    pi = _make(name)
    out, log_prob = eqx.filter_eval_shape(_log_prob_of(name), pi)
    assert type(out) is type(pi)
    assert [leaf.shape for leaf in jax.tree.leaves(out)] == [leaf.shape for leaf in jax.tree.leaves(pi)]
    assert log_prob.shape == (4,)
    maker, parameters, _ = DISTRIBUTIONS[name]
    assert type(eqx.filter_eval_shape(maker, *float32(*parameters))) is type(pi)


@every
def test_partition_combine_and_tree_at(name):
    pi = _make(name)
    arrays, rest = eqx.partition(pi, eqx.is_inexact_array)
    assert jax.tree.leaves(rest) == []
    _assert_same(eqx.combine(arrays, rest), pi, name)
    field = type(pi).leaves[0]
    changed = eqx.tree_at(lambda pi: getattr(pi, field), pi, 2 * getattr(pi, field))
    assert type(changed) is type(pi)
    np.testing.assert_array_equal(jax.tree.leaves(changed)[0], 2 * jax.tree.leaves(pi)[0])


@pytest.mark.parametrize("maker", [epsilon_greedy, boltzmann])
def test_a_changing_knob_does_not_recompile(maker):
    q = jnp.asarray(_Q, jnp.float32)
    traced = CountedTraces(lambda q, knob: maker(q, knob).probs)
    function = jax.jit(traced)
    for knob in (0.1, 0.2, 0.9):
        function(q, knob)
    assert traced.count == 1
    for knob in (0.1, 0.2, 0.9):
        function(q, jnp.float32(knob))
    assert traced.count == 2
    # A distribution made outside carries its knob as data.
    taken = CountedTraces(lambda pi: pi.mode())
    for transform in (jax.jit, eqx.filter_jit):
        taken.count, function = 0, transform(taken)
        for knob in (0.1, 0.2, jnp.float32(0.9), np.float64(0.5), 1):
            function(maker(q, knob))
        assert taken.count == 1


# --- divergences -----------------------------------------------------------------------------------------------------


def _discrete_pairs():
    """Our distributions, distrax's own, and their probabilities, for two sets of parameters."""
    other_q = np.random.default_rng(5).normal(size=(4, 3))
    eps, tau = DISTRIBUTIONS["epsilon_greedy"][1][1], DISTRIBUTIONS["boltzmann"][1][1]
    out = []
    for q in (_Q, other_q):
        array, eps32, tau32 = float32(q, eps, tau)
        with lenient():
            theirs = (
                distrax.EpsilonGreedy(array, eps32[:, None]),
                distrax.Softmax(array, tau32[:, None]),
                distrax.Categorical(logits=array),
            )
        ours = (epsilon_greedy(array, eps32), boltzmann(array, tau32), categorical(array))
        probs = (epsilon_greedy_probs(q, eps), softmax(q / tau[:, None]), softmax(q))
        out.append([*zip(ours, theirs, probs, strict=True)])
    return out


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
def test_divergence_between_discrete_distributions(first, second):
    left, right = _discrete_pairs()
    (pi, their_pi, p), (other, their_other, q) = left[first], right[second]
    expected = discrete_kl(p, q)
    assert_close(pi.kl_divergence(other), expected)
    with lenient():
        assert_close(pi.kl_divergence(their_other), expected)
        assert_close(their_pi.kl_divergence(other), expected)
    assert_close(pi.cross_entropy(other), expected + np.asarray(pi.entropy()))


def test_divergence_between_gaussians():
    mu, logvar, other_mu, other_logvar = np.random.default_rng(6).normal(size=(4, 5, 3))
    arrays = float32(mu, logvar, other_mu, other_logvar)
    pi, other = gaussian(*arrays[:2]), gaussian(*arrays[2:])
    with lenient():
        theirs = distrax.Independent(distrax.Normal(arrays[0], jnp.exp(arrays[1] / 2)), 1)
        their_other = distrax.Independent(distrax.Normal(arrays[2], jnp.exp(arrays[3] / 2)), 1)
        expected = gaussian_kl(mu, logvar, other_mu, other_logvar)
        assert_close(pi.kl_divergence(their_other), expected)
        assert_close(theirs.kl_divergence(other), expected)
    assert_close(pi.kl_divergence(other), expected)
    assert_close(other.kl_divergence(pi), gaussian_kl(other_mu, other_logvar, mu, logvar))


@every_of_all
def test_divergence_between_different_shapes_is_refused(name):
    pi = _make(name)
    with pytest.raises(TypeError, match=r"a divergence is between .* same shape; got batch and event .*\(4,\).*\(1,\)"):
        pi.kl_divergence(pi[:1])
    with pytest.raises(TypeError, match="same shape"):
        jax.jit(lambda pi: pi[0].kl_divergence(pi))(pi)


def test_divergence_between_different_numbers_of_actions_is_refused():
    for make in (
        lambda x: categorical(x),
        lambda x: deterministic(x),
        lambda x: bernoulli(x),
        lambda x: gaussian(x, x),
    ):
        for part in (make, lambda x, make=make: joint((make(x),))):
            with pytest.raises(TypeError, match=r"same shape; got batch and event .*\(3,\).*\(1,\)"):
                part(jnp.zeros((4, 3))).kl_divergence(part(jnp.zeros((4, 1))))
    with pytest.raises(TypeError, match="same shape"):
        multi_discrete(jnp.zeros(4), (2, 2)).kl_divergence(multi_discrete(jnp.zeros(4), (1, 3)))


@every
def test_divergence_is_zero_to_itself_and_positive_to_another(name):
    pi = _make(name)
    other = jax.tree.map(lambda leaf: leaf[::-1], pi)
    divergence = jax.jit(lambda pi, other: pi.kl_divergence(other))
    assert_close(divergence(pi, pi), np.zeros(4), atol=1e-6)
    assert (divergence(pi, other) >= -1e-6).all()


def test_a_forbidden_action_adds_nothing_to_the_divergence():
    pi, other = categorical(*float32([0.0, 1.0, -np.inf])), categorical(*float32([1.0, 0.0, 0.0]))
    assert_close(pi.kl_divergence(other), discrete_kl(softmax([0.0, 1.0, -np.inf]), softmax([1.0, 0.0, 0.0])))
    assert np.asarray(other.kl_divergence(pi)) == np.inf
    assert_close(pi.kl_divergence(pi), 0)


# --- mistakes --------------------------------------------------------------------------------------------------------


@every_discrete
def test_actions_must_be_integers(name):
    pi = _make(name)
    for wrong in (jnp.zeros(4), jnp.zeros(4, bool), np.zeros(4)):
        for method in (pi.log_prob, pi.prob):
            with pytest.raises(TypeError, match="must be an integer"):
                method(wrong)


@every
def test_actions_of_the_wrong_shape_are_refused(name):
    pi = _make(name)
    right = _actions(name)
    for wrong in (right[:, None], right[:1], right[0], right[:3]):
        with pytest.raises(TypeError, match=r"actions must have shape"):
            pi.log_prob(wrong)
        with pytest.raises(TypeError, match=r"actions must have shape"):
            jax.jit(pi.log_prob)(wrong)


@every_discrete
def test_nan_stays_visible_in_probabilities_and_actions_stay_in_range(name, getkey):
    maker, parameters, _ = DISTRIBUTIONS[name]
    q, *knobs = float32(*parameters)
    for poisoned in (q.at[1, 0].set(jnp.nan), q.at[1].set(jnp.nan)):
        pi = maker(poisoned, *knobs)
        assert np.isnan(pi.probs[1]).all()
        assert np.isfinite(pi.probs[0]).all()
        assert np.isnan(_log_prob(pi, _actions(name))[1])
        assert np.isnan(_entropy(pi)[1])
        actions = jax.jit(lambda pi, key: pi.sample(seed=key, sample_shape=100))(pi, getkey())
        assert ((actions >= 0) & (actions < 3)).all()


@every_discrete
def test_permuting_actions_permutes_probabilities(name):
    maker, parameters, _ = DISTRIBUTIONS[name]
    q, *knobs = float32(*parameters)
    order = np.array([2, 0, 1])
    assert_close(maker(q[:, order], *knobs).probs, maker(q, *knobs).probs[:, order], rtol=1e-6, atol=1e-7)


@every_discrete
def test_a_constant_shift_changes_nothing(name):
    maker, parameters, _ = DISTRIBUTIONS[name]
    q, *knobs = float32(*parameters)
    q = jnp.round(q * 8) / 8  # so that adding 16 is exact
    assert_close(maker(q + 16, *knobs).probs, maker(q, *knobs).probs, rtol=1e-5, atol=1e-6)


@every_discrete
def test_probabilities_are_those_of_the_log_probs_and_sum_to_one(name):
    pi = _make(name)
    actions = jnp.broadcast_to(jnp.arange(3)[:, None], (3, 4))
    assert_close(jnp.exp(pi.log_prob(actions)).T, pi.probs)
    assert_close(pi.prob(actions).T, pi.probs)
    assert_close(pi.probs.sum(-1), np.ones(4))
    assert_close(pi.logits, jnp.log(pi.probs))
    np.testing.assert_array_equal(pi.mode(), np.argmax(pi.probs, -1))


@every_discrete
def test_inherited_cumulative_probabilities(name):
    pi = _make(name)
    with lenient():
        assert_close(pi.cdf(jnp.ones(4, jnp.int32)), pi.probs[:, :2].sum(-1))
