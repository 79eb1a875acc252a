import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from bellmax.policies import boltzmann, categorical, epsilon_greedy, greedy, multi_discrete, uniform, unimix
from bellmax.policies._discrete import _draw
from helpers import assert_close, assert_frequencies, float32, lenient

pytestmark = pytest.mark.slow

MAKERS = {
    "epsilon_greedy": lambda q, mask=None: epsilon_greedy(q, 0.3, mask=mask),
    "greedy": lambda q, mask=None: greedy(q, mask=mask),
    "boltzmann": lambda q, mask=None: boltzmann(q, 0.5, mask=mask),
    "categorical": lambda q, mask=None: categorical(q, mask=mask),
    "unimix": lambda q, mask=None: unimix(q, 0.1, mask=mask),
}
every = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
_Q = np.array([[1.0, 9.0, 3.0, 3.0], [0.5, -1.0, 2.0, 0.0]])
_MASK = np.array([True, False, True, True])


def test_by_hand():
    # Three legal actions, of which two share the maximum: 0.3 / 3 each, and 0.7 / 2 more for the best.
    assert_close(epsilon_greedy(_Q[0], 0.3, mask=_MASK).probs, [0.1, 0, 0.45, 0.45])
    assert_close(greedy(_Q[0], mask=_MASK).probs, [0, 0, 0.5, 0.5])
    assert_close(uniform(_MASK).probs, [1 / 3, 0, 1 / 3, 1 / 3])
    # Weights 1, 1 and 2 give ¼, ¼, ½; of these 0.8, and 0.2 / 3 each.
    mixed = unimix(np.log([1.0, 50.0, 1.0, 2.0]), 0.2, mask=_MASK)
    assert_close(mixed.probs, [0.2 + 0.2 / 3, 0, 0.2 + 0.2 / 3, 0.4 + 0.2 / 3])


@every
def test_an_illegal_action_has_probability_exactly_zero_and_is_never_drawn(maker):
    for mask in (_MASK, ~_MASK, np.array([False, True, True, False])):
        pi = maker(*float32(_Q[0]), mask)
        assert (np.asarray(pi.probs)[~mask] == 0).all()
        log_prob = np.asarray(pi.log_prob(jnp.arange(4)))
        assert (log_prob[~mask] == -np.inf).all()
        assert np.isfinite(log_prob[mask]).all()
        assert_frequencies(pi.sample(seed=jax.random.key(0), sample_shape=20_000), np.asarray(pi.probs, np.float64))


@every
def test_masking_an_action_is_leaving_it_out(maker):
    rest = np.flatnonzero(_MASK)

    def numbers(q, mask, actions):
        pi, other = maker(q, mask), maker(q[:, ::-1], None if mask is None else mask[::-1])
        return pi.log_prob(actions) + 2 * pi.entropy() + 3 * pi.kl_divergence(maker(q / 2, mask)) + other.entropy()

    masked = jax.jit(lambda q: jnp.sum(numbers(q, jnp.asarray(_MASK), jnp.array([2, 3]))))
    left_out = jax.jit(lambda q: jnp.sum(numbers(q, None, jnp.array([1, 2]))))
    value, slope = jax.value_and_grad(masked)(*float32(_Q))
    expected, expected_slope = jax.value_and_grad(left_out)(*float32(_Q[:, rest]))
    assert_close(value, expected)
    assert_close(np.asarray(slope)[:, rest], expected_slope, atol=1e-4)
    assert (np.asarray(slope)[:, 1] == 0).all()


def test_divergence_to_what_forbids_more_is_infinite():
    less, more = categorical(*float32(_Q)), categorical(*float32(_Q), mask=_MASK)
    assert (np.asarray(less.kl_divergence(more)) == np.inf).all()
    assert np.isfinite(more.kl_divergence(less)).all()


@every
def test_where_nothing_is_legal_it_says_so(maker, request):
    name = request.node.callspec.id
    nothing = np.array([[True, True, True, True], [False] * 4])
    with pytest.raises(ValueError, match=rf"{name}: mask must leave at least one action legal; got"):
        maker(*float32(_Q), nothing)
    probs = np.asarray(jax.jit(lambda q, mask: maker(q, mask).probs)(*float32(_Q), nothing))
    assert np.isfinite(probs[0]).all()
    assert np.isnan(probs[1]).all()


def test_uniform_over_nothing_says_so():
    with pytest.raises(ValueError, match="uniform: mask must leave at least one action legal"):
        uniform(np.zeros(3, bool))
    assert np.isnan(jax.jit(lambda mask: uniform(mask).probs)(np.zeros(3, bool))).all()
    with pytest.raises(jaxtyping.TypeCheckError):
        uniform(np.ones(3))


@every
def test_one_mask_for_all_equals_one_an_example(maker):
    (q,) = float32(_Q)
    one, each = maker(q, _MASK), maker(q, np.stack([_MASK, _MASK]))
    for leaf, other in zip(jax.tree.leaves(one), jax.tree.leaves(each), strict=True):
        np.testing.assert_array_equal(leaf, other)
    mapped = jax.vmap(maker, in_axes=(0, None))(q, jnp.asarray(_MASK))
    assert_close(mapped.probs, one.probs)


@every
def test_the_value_of_an_illegal_action_does_not_matter(maker):
    expected = maker(*float32(_Q), _MASK).probs
    for value in (np.nan, np.inf, -np.inf, 1e30):
        changed = _Q.copy()
        changed[:, 1] = value
        assert_close(maker(*float32(changed), _MASK).probs, expected)


@pytest.mark.parametrize("wrong", [np.ones(3, bool), np.ones((2, 1), bool), np.ones((3, 4), bool), np.ones(4)])
def test_a_mask_of_the_wrong_shape_or_type_is_refused(wrong):
    for maker in MAKERS.values():
        with pytest.raises(jaxtyping.TypeCheckError, match="mask"):
            maker(*float32(_Q), wrong)


def test_without_a_mask_minus_infinity_is_still_explored():
    q = np.array([0.0, -np.inf, 1.0])
    assert_close(epsilon_greedy(q, 0.3).probs, [0.1, 0.1, 0.8])
    assert_close(epsilon_greedy(q, 0.3, mask=np.isfinite(q)).probs, [0.15, 0, 0.85])


@every
def test_a_mask_travels_with_the_distribution(maker, getkey):
    (q,), mask = float32(_Q), jnp.stack([_MASK, jnp.array([False, True, True, False])])
    pi = eqx.filter_jit(maker)(q, mask)
    assert (np.asarray(pi.probs)[~mask] == 0).all()
    assert (np.asarray(pi[1].probs)[~mask[1]] == 0).all()
    mapped = jax.vmap(lambda pi, key: pi.sample(seed=key, sample_shape=50))(pi, jax.random.split(getkey(), 2))
    assert np.take_along_axis(np.asarray(mask), np.asarray(mapped), axis=1).all()
    carried, _ = jax.lax.scan(lambda pi, _: (pi, pi.entropy()), pi, length=2)
    assert_close(carried.probs, pi.probs)
    # Masked or not, the structure is the same.
    either = jax.jit(lambda which: jax.lax.cond(which, lambda: maker(q, mask), lambda: maker(q)))
    assert_close(either(False).probs, maker(q).probs)


# --- drawing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("actions", [3, 32, 33, 100])
def test_whatever_the_uniform_number_an_impossible_action_is_not_drawn(dtype, actions):
    with jax.enable_x64(dtype == np.float64), lenient():
        rng = np.random.default_rng(actions)
        probs = rng.exponential(size=(8, actions)) ** 4 * (rng.uniform(size=(8, actions)) < 0.5)
        probs[:, 1] += 1e-3
        probs = (probs / probs.sum(-1, keepdims=True)).astype(dtype)
        # The ends of what can come, and the steps of the cumulative probabilities, to the last bit.
        steps = np.cumsum(probs, axis=-1).T
        ends = np.broadcast_to(np.array([[0], [1 - 2.0**-23 if dtype == np.float32 else 1 - 2.0**-52]]), (2, 8))
        uniform = np.concatenate([ends, steps, np.nextafter(steps, 0), np.nextafter(steps, 1)]).astype(dtype)
        uniform = np.minimum(uniform, ends[1:].astype(dtype))
        drawn = np.asarray(_draw(jnp.asarray(probs), jnp.asarray(uniform)))
        assert ((drawn >= 0) & (drawn < actions)).all()
        assert (np.take_along_axis(probs, drawn.T, axis=-1) > 0).all()


def test_the_mixture_follows_its_definition_down_to_no_mixture_at_all():
    logits = np.array([0.0, -20.0, -60.0, -200.0])
    for mixture in (0.0, 1e-6, 0.01, 1.0):
        with jax.enable_x64(True), lenient():
            pi = unimix(jnp.asarray(logits), mixture)
            softmax = np.exp(logits) / np.exp(logits).sum()
            expected = (1 - mixture) * softmax + mixture / 4
            assert_close(pi.logits, np.log(expected), rtol=1e-6, atol=1e-6)
        assert_close(unimix(*float32(logits), mixture).logits, np.log(expected))


def test_the_slope_of_the_mixture():
    # d log p / dm = (1/n − s) / p, with s = ½ and ½: zero; with s = ¾ and ¼: ∓¼ / p.
    slope = jax.jacobian(lambda m: unimix(jnp.log(jnp.array([3.0, 1.0])), m).logits)
    for m in (0.0, 0.2, 1.0):
        p = (1 - m) * np.array([0.75, 0.25]) + m / 2
        assert_close(slope(jnp.float32(m)), np.array([-0.25, 0.25]) / p)


@pytest.mark.parametrize("mixture", [-0.1, 1.1, np.nan])
def test_a_mixture_outside_zero_to_one_is_refused(mixture):
    with pytest.raises(ValueError, match=r"unimix: mixture must be in \[0, 1\]; got"):
        unimix(jnp.zeros(3), mixture)
    probs = jax.jit(lambda m: unimix(jnp.array([0.0, 1.0]), m).probs)(mixture)
    if np.isnan(mixture):
        assert np.isnan(probs).all()
    else:
        assert_close(probs, unimix(jnp.array([0.0, 1.0]), np.clip(mixture, 0, 1)).probs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tiny_mixture_keeps_its_bound(dtype):
    tiny = 1e-36 if dtype == np.float32 else 1e-200
    with jax.enable_x64(dtype == np.float64):
        pi = unimix(jnp.array([0.0, -np.inf], dtype), tiny)
        assert_close(pi.logits, [0, np.log(tiny / 2)])


@every
@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_a_mask_of_whole_numbers_counts_as_one_of_truths(maker, shape):
    (q,), mask = float32(_Q), np.broadcast_to(_MASK, shape)
    one, other = maker(q, mask.astype(np.int8)), maker(q, mask)
    for leaf, expected in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, expected)


def test_masks_of_whole_numbers_without_values_and_for_several_choices():
    np.testing.assert_array_equal(uniform(_MASK.astype(np.int8)).logits, uniform(_MASK).logits)
    logits = jnp.zeros((2, 4))
    expected = multi_discrete(logits, (2, 2), mask=np.stack([_MASK, _MASK])).entropy()
    for mask in (_MASK, _MASK.astype(np.int8), np.stack([_MASK, _MASK]).astype(np.int8)):
        np.testing.assert_array_equal(multi_discrete(logits, (2, 2), mask=mask).entropy(), expected)
    with pytest.raises(ValueError, match="greedy: mask must leave at least one action legal"):
        greedy(jnp.zeros(4), mask=np.zeros(4, np.int8))
