import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from bellmax._core import Distribution
from bellmax.policies import bernoulli, categorical, gaussian, joint, multi_discrete
from helpers import CountedTraces, assert_close, assert_frequencies, float32, lenient, softmax

pytestmark = pytest.mark.slow

_RNG = np.random.default_rng(0)
_LOGITS, _MU, _LOGVAR = _RNG.normal(size=(3, 4, 3))
_SWITCHES = _RNG.normal(size=(4, 2))


def _parts():
    return (
        categorical(*float32(_LOGITS)),
        gaussian(*float32(_MU, _LOGVAR)),
        bernoulli(*float32(_SWITCHES)),
    )


def _trees():
    first, second, third = _parts()
    return {
        "tuple": (first, second, third),
        "list": [first, second, third],
        "dict": {"b": second, "a": first, "c": third},
        "nested": {"x": (first, {"y": second}), "z": [third]},
        "joint of joints": joint((first, joint((second, third)))),
    }


every_tree = pytest.mark.parametrize("kind", _trees())


def _joint(kind):
    tree = _trees()[kind]
    return tree if isinstance(tree, distrax.Joint) else joint(tree)


@pytest.mark.parametrize("kind", ["nested", "joint of joints"])
def test_everything_is_the_sum_of_the_parts(kind, getkey):
    pi, parts = _joint(kind), _parts()
    assert isinstance(pi, distrax.Distribution)
    assert isinstance(pi, distrax.Joint)
    assert isinstance(pi, Distribution)
    assert pi.batch_shape == (4,)
    actions, log_prob = jax.jit(lambda pi, key: pi.sample_and_log_prob(seed=key, sample_shape=(2, 5)))(pi, getkey())
    by_type = {(leaf.dtype.name, leaf.ndim): leaf for leaf in jax.tree.leaves(actions)}
    each = [by_type["int32", 3], by_type["float32", 4], by_type["int8", 4]]
    assert [action.shape for action in each] == [(2, 5, 4), (2, 5, 4, 3), (2, 5, 4, 2)]
    assert_close(log_prob, sum(np.asarray(part.log_prob(action)) for part, action in zip(parts, each, strict=True)))
    assert_close(pi.log_prob(actions), log_prob)
    assert_close(pi.entropy(), sum(np.asarray(part.entropy()) for part in parts))
    for leaf in jax.tree.leaves(jax.tree.map(lambda x: x, pi.mode())):
        assert leaf.shape[0] == 4
    other = jax.tree.map(lambda leaf: leaf[::-1], pi)
    expected = sum(np.asarray(part.kl_divergence(jax.tree.map(lambda leaf: leaf[::-1], part))) for part in parts)
    assert_close(pi.kl_divergence(other), expected)
    assert_close(pi.cross_entropy(other), expected + np.asarray(pi.entropy()))


@every_tree
def test_actions_have_the_structure_of_the_distributions(kind, getkey):
    pi = _joint(kind)
    actions = jax.eval_shape(pi.mode)
    assert jax.tree.structure(jax.eval_shape(lambda: pi.sample(seed=getkey()))) == jax.tree.structure(actions)
    assert jax.eval_shape(pi.log_prob, actions).shape == (4,)
    is_distribution = lambda node: isinstance(node, distrax.Distribution) and not isinstance(node, distrax.Joint)  # noqa: E731
    distributions = jax.tree.structure(pi.distributions, is_leaf=is_distribution)
    assert kind == "joint of joints" or distributions == jax.tree.structure(actions)
    with pytest.raises(TypeError, match="actions must have the structure"):
        pi.log_prob({"no such": jnp.zeros(4)})


def _numbers(pi, actions):
    return pi, pi.log_prob(actions), pi.entropy()


@pytest.mark.parametrize("kind", ["nested"])
def test_passes_the_transforms(kind, getkey):
    pi = _joint(kind)
    actions, numbers = jax.jit(lambda pi: pi.mode())(pi), jax.jit(_numbers)
    _, *expected = numbers(pi, actions)
    outs = [eqx.filter_jit(_numbers)(pi, actions), jax.jit(jax.vmap(_numbers))(pi, actions)]
    outs.append(eqx.filter_jit(eqx.filter_vmap(_numbers))(pi, actions))
    outs.append(numbers(jax.lax.scan(lambda pi, _: (pi, None), pi, length=2)[0], actions))
    halved = jax.tree.map(lambda leaf: leaf / 2, pi)
    outs.append(numbers(jax.lax.cond(True, lambda: pi, lambda: halved), actions))
    arrays, rest = eqx.partition(pi, eqx.is_inexact_array)
    outs.append(numbers(eqx.combine(arrays, rest), actions))
    for out, *found in outs:
        assert jax.tree.structure(out) == jax.tree.structure(pi)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    slope = eqx.filter_jit(eqx.filter_grad(lambda pi: jnp.sum(pi.log_prob(actions) + 2 * pi.entropy())))(pi)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    assert sum(bool(np.any(leaf != 0)) for leaf in jax.tree.leaves(slope)) == 3  # the mode feels the mean not at all
    one = pi[1]
    assert one.batch_shape == ()
    assert_close(one.entropy(), expected[1][1])
    counted = CountedTraces(lambda pi: pi.entropy())
    again = jax.jit(counted)
    again(pi)
    again(halved)
    assert counted.count == 1


def test_parts_are_drawn_independently():
    pi = joint((bernoulli(jnp.zeros(1)), bernoulli(jnp.zeros(1))))
    first, second = pi.sample(seed=jax.random.key(0), sample_shape=20_000)
    assert_frequencies(2 * first[:, 0].astype(jnp.int32) + second[:, 0].astype(jnp.int32), np.full(4, 0.25))


def test_mistakes_are_named():
    first, second, _ = _parts()
    with pytest.raises(ValueError, match=r"joint: all distributions must have the same batch axes; got \[\(\), \(4,\)"):
        joint((first, second[0]))
    with pytest.raises(ValueError, match="joint: there must be at least one distribution"):
        joint(())
    with lenient(), pytest.raises(jaxtyping.TypeCheckError):
        joint((first, distrax.Normal(0.0, 1.0)))
    with pytest.raises(TypeError, match="the other distribution must have the structure"):
        joint((first, second)).kl_divergence(joint([first, second]))


def test_parts_add_up_in_the_widest_type():
    with jax.enable_x64(True):
        narrow, wide = categorical(jnp.zeros(3, jnp.float32)), categorical(jnp.zeros(3, jnp.float64))
        for parts in ((narrow, wide), (wide, narrow)):
            entropy = joint(parts).entropy()
            assert entropy.dtype == jnp.float64
            assert_close(entropy, 2 * np.log(3))


def test_the_divergence_to_distrax_own():
    first, second = categorical(*float32(_LOGITS)), categorical(*float32(_LOGITS[::-1]))
    with lenient():
        theirs = distrax.Joint((distrax.Categorical(logits=second.logits),))
        assert_close(joint((first,)).kl_divergence(theirs), first.kl_divergence(second))


# --- several discrete choices ----------------------------------------------------------------------------------------


def test_multi_discrete_by_hand():
    # Weights 1, 3 and 1, 1, 2: the first choice takes 1 with ¾, the second 2 with ½.
    pi = multi_discrete(jnp.log(jnp.array([1.0, 3.0, 1.0, 1.0, 2.0])), (2, 3))
    assert_close(pi.log_prob(jnp.array([1, 2])), np.log(0.375))
    assert_close(pi.mode(), [1, 2])
    assert_close(pi.log_prob(jnp.array([[0, 0], [2, 0], [1, 3]])), [np.log(1 / 16), -np.inf, -np.inf])
    entropy = stats.entropy([0.25, 0.75]) + stats.entropy([0.25, 0.25, 0.5])
    assert_close(pi.entropy(), entropy)
    assert pi.event_shape == (2,)
    assert pi.dtype == jnp.int32


def test_multi_discrete_equals_a_joint_of_categoricals(getkey):
    logits = _RNG.normal(size=(4, 9))
    pi, key = multi_discrete(*float32(logits), (4, 2, 3)), getkey()
    parts = tuple(categorical(*float32(part)) for part in np.split(logits, [4, 6], axis=-1))
    actions, log_prob = pi.sample_and_log_prob(seed=key, sample_shape=7)
    assert actions.shape == (7, 4, 3)
    assert actions.dtype == jnp.int32
    assert_close(log_prob, joint(parts).log_prob(tuple(jnp.moveaxis(actions, -1, 0))))
    assert_close(actions, np.stack(joint(parts).sample(seed=key, sample_shape=7), -1))
    other = jax.tree.map(lambda leaf: leaf[::-1], pi)
    assert_close(pi.kl_divergence(other), sum(np.asarray(p.kl_divergence(p[::-1])) for p in parts))
    assert_close(pi[2].entropy(), pi.entropy()[2])


def test_multi_discrete_draws_each_option_as_often_as_it_says_and_no_illegal_one():
    logits, mask = np.array([0.0, 1.0, 2.0, 0.0, 1.0]), np.array([True, True, False, True, True])
    actions = multi_discrete(*float32(logits), (2, 3), mask=mask).sample(seed=jax.random.key(0), sample_shape=20_000)
    assert_frequencies(actions[:, 0], softmax(logits[:2]))
    assert_frequencies(actions[:, 1], softmax(np.where(mask, logits, -np.inf)[2:]))


def test_multi_discrete_names_mistakes():
    for nvec in ((2, 2), (), (5, 0)):
        with pytest.raises(ValueError, match=r"multi_discrete: there must be sum\(nvec\) logits"):
            multi_discrete(jnp.zeros(5), nvec)
    with pytest.raises(ValueError, match="multi_discrete: mask must leave at least one action legal"):
        multi_discrete(jnp.zeros(5), (2, 3), mask=np.array([False, False, True, True, True]))
    with pytest.raises(TypeError, match="actions must have shape"):
        multi_discrete(jnp.zeros((4, 5)), (2, 3)).log_prob(jnp.zeros((4, 3), jnp.int32))
    for nvec in (np.array([[2, 3]]), np.array([2.0, 3.0])):
        with pytest.raises(ValueError, match="multi_discrete: nvec must be a sequence of whole numbers; got"):
            multi_discrete(jnp.zeros(5), nvec)
    with pytest.raises(TypeError, match="must be an integer"):
        multi_discrete(jnp.zeros(5), (2, 3)).log_prob(jnp.zeros(2))


def test_multi_discrete_takes_the_options_as_any_sequence():
    logits = jnp.array([0.0, 1.0, 3.0, 2.0, 1.0])
    for nvec in ((2, 3), [2, 3], spaces.MultiDiscrete([2, 3]).nvec, [np.int64(2), np.int32(3)]):
        assert multi_discrete(logits, nvec).mode().tolist() == [1, 0]


# --- switches --------------------------------------------------------------------------------------------------------


def test_bernoulli_by_hand():
    # On with ¾ and with ½: both on ⅜, the first alone ⅜.
    pi = bernoulli(jnp.log(jnp.array([3.0, 1.0])))
    assert_close(pi.log_prob(jnp.array([[1, 1], [0, 1]])), np.log([0.375, 0.125]))
    assert_close(pi.entropy(), stats.bernoulli(0.75).entropy() + np.log(2))
    assert_close(pi.mode(), [1, 0])
    assert_close(pi.mean(), [0.75, 0.5])
    assert_close(pi.log_prob(jnp.array([2, 1])), -np.inf)


def test_bernoulli_equals_scipy_in_both_precisions():
    actions = _RNG.integers(0, 2, (4, 2))
    expected = stats.bernoulli.logpmf(actions, 1 / (1 + np.exp(-_SWITCHES))).sum(-1)
    assert_close(bernoulli(*float32(_SWITCHES)).log_prob(actions), expected)
    with jax.enable_x64(True):
        assert_close(bernoulli(jnp.asarray(_SWITCHES)).log_prob(actions), expected, rtol=1e-6, atol=1e-6)


def test_bernoulli_is_exact_far_away_and_sure_at_infinity():
    pi = bernoulli(jnp.array([200.0, -200.0]))
    assert_close(pi.log_prob(jnp.array([0, 1])), -400)
    assert_close(pi.entropy(), 0, atol=1e-30)
    sure = bernoulli(jnp.array([jnp.inf, -jnp.inf, 0.0]))
    assert_close(sure.log_prob(jnp.array([1, 0, 0])), np.log(0.5))
    assert_close(sure.log_prob(jnp.array([0, 0, 0])), -np.inf)
    assert_close(sure.entropy(), np.log(2))
    drawn = np.asarray(sure.sample(seed=jax.random.key(0), sample_shape=1000))
    assert (drawn[:, 0] == 1).all()
    assert (drawn[:, 1] == 0).all()
    assert_close(sure.kl_divergence(sure), 0)
    slope = jax.grad(lambda z: bernoulli(z).log_prob(jnp.array([1, 0, 0])) + bernoulli(z).entropy())
    assert np.isfinite(slope(jnp.array([1e4, -1e4, 0.0]))).all()


def test_bernoulli_draws_each_switch_as_often_as_it_says():
    pi = bernoulli(*float32([1.0, -2.0]))
    actions = pi.sample(seed=jax.random.key(1), sample_shape=20_000)
    for i, p in enumerate(pi.mean()):
        assert_frequencies(actions[:, i], [1 - float(p), float(p)])


def test_bernoulli_divergence_equals_distrax():
    first, second = bernoulli(*float32(_SWITCHES)), bernoulli(*float32(_SWITCHES[::-1]))
    with lenient():
        theirs = distrax.Independent(distrax.Bernoulli(second.logits), 1)
        assert_close(first.kl_divergence(second), first.kl_divergence(theirs))
        assert_close(first.entropy(), distrax.Independent(distrax.Bernoulli(first.logits), 1).entropy())


def test_bernoulli_names_mistakes():
    pi = bernoulli(jnp.zeros((4, 2)))
    with pytest.raises(TypeError, match="must be integer or boolean"):
        pi.log_prob(jnp.zeros((4, 2)))
    with pytest.raises(TypeError, match="actions must have shape"):
        pi.log_prob(jnp.zeros((4, 3), jnp.int8))
    assert_close(pi.log_prob(jnp.ones((4, 2), bool)), np.full(4, -2 * np.log(2)))
