import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from scipy import special

from bellmax._core import ValueTransform
from bellmax.distributional import (
    categorical_mean,
    hl_gauss,
    linear_support,
    symexp_support,
    two_hot,
    two_hot_transform,
)
from cases.distributional import hl_gauss_loop, two_hot_loop
from helpers import assert_close, float32, lenient

pytestmark = pytest.mark.slow

NUMBERS = np.concatenate([np.random.default_rng(0).uniform(-4, 4, 30), [-3, 3, 0, 1, -1, 50, -50]])
HYPERBOLIC = ValueTransform(
    lambda x: jnp.sign(x) * (jnp.sqrt(jnp.abs(x) + 1) - 1) + 1e-3 * x,
    lambda x: jnp.sign(x) * (jnp.square((jnp.sqrt(1 + 4e-3 * (jnp.abs(x) + 1 + 1e-3)) - 1) / 2e-3) - 1),
)

_their_two_hot = jax.jit(rlax.transform_to_2hot, static_argnums=3)
_apply, _invert = jax.jit(lambda pair, x: pair.apply(x)), jax.jit(lambda pair, probs: pair.invert(probs))
encode, spread = jax.jit(two_hot), jax.jit(hl_gauss)


def test_two_hot_by_hand():
    # 2.5 lies ¾ of the way from 1 to 3.
    assert_close(encode(2.5, jnp.array([0.0, 1.0, 3.0])), [0, 0.25, 0.75], rtol=0, atol=0)


def test_a_number_on_an_atom_is_one_hot_exactly():
    support = symexp_support(-5, 5, 11)
    np.testing.assert_array_equal(two_hot(support, support), np.eye(11))


def test_two_hot_outside_is_the_end():
    support = linear_support(-1, 1, 3)
    found = encode(jnp.array([-jnp.inf, -2.0, 2.0, jnp.inf]), support)
    np.testing.assert_array_equal(found, np.eye(3)[[0, 0, 2, 2]])
    assert np.isnan(two_hot(jnp.nan, support)).any()


def test_two_hot_equals_rlax_but_for_its_bias():
    with lenient():
        theirs = _their_two_hot(jnp.asarray(NUMBERS, jnp.float32), -3, 3, 13)
    ours = encode(jnp.asarray(NUMBERS, jnp.float32), linear_support(-3, 3, 13))
    assert_close(ours, theirs, atol=5e-5)  # rlax adds 1e-5 to a gap of ½


def test_two_hot_is_exact_where_rlax_is_biased():
    # Bins of width 8e-5: the bias of 1e-5 is an eighth of one.
    support, x = np.linspace(0, 8e-4, 11), np.array([2e-5, 3e-4, 7.3e-4])
    ours = encode(*float32(x, support))
    assert_close(ours, two_hot_loop(np.float32(x), np.float32(support)), rtol=0, atol=1e-5)
    with lenient():
        theirs = _their_two_hot(jnp.asarray(x, jnp.float32), 0.0, 8e-4, 11)
    assert np.abs(theirs - two_hot_loop(x, support)).max() > 0.05


def test_hl_gauss_by_hand():
    # Edges at ±½ and ±3/2 about the number, σ = ¾: erf(½/(¾√2)) of erf(2/√2) in the middle.
    middle = special.erf(0.5 / 0.75 / np.sqrt(2)) / special.erf(2 / np.sqrt(2))
    found = spread(0.0, jnp.array([-1.0, 0.0, 1.0]))
    assert_close(found, [(1 - middle) / 2, middle, (1 - middle) / 2])


def test_hl_gauss_is_right_far_out_in_the_tails():
    support = np.linspace(-10, 10, 51)
    x = np.array([-10, -3.3, 0, 9.9, 10, 400])
    found = np.asarray(spread(*float32(x, support)), np.float64)
    expected = hl_gauss_loop(x, support)
    # Lower tails only: there the plain difference of the oracle is exact as well.
    lower = (support[None] < np.clip(x, -10, 10)[:, None]) & (expected > 1e-30)
    np.testing.assert_allclose(found[lower], expected[lower], rtol=3e-3)
    assert_close(found, expected, atol=2e-6)
    np.testing.assert_allclose(found[2], found[2][::-1], rtol=1e-4)  # so the upper tails are as good
    assert_close(found.sum(-1), np.ones(6), atol=1e-6)


def test_hl_gauss_keeps_the_mean_inside():
    support = linear_support(-10, 10, 51)
    x = jnp.linspace(-7, 7, 200)
    assert_close(categorical_mean(spread(x, support), support), x, rtol=0, atol=1e-4 * 0.4)


def test_hl_gauss_towards_sigma_zero_is_the_nearest_atom():
    support = linear_support(-2, 2, 5)
    x = jnp.array([-5.0, -0.4, 0.6, 1.0, 9.0])
    sharp = jax.jit(lambda sigma: hl_gauss(x, support, sigma=sigma))
    for sigma in (1e-4, 0.0):
        assert_close(sharp(sigma), np.eye(5)[[0, 2, 3, 3, 4]], atol=1e-6)
    slope = jax.jacobian(sharp)(1e-4)
    assert np.isfinite(slope).all()
    for sigma in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="hl_gauss: sigma must be above 0"):
            hl_gauss(x, support, sigma=sigma)


def test_encodings_refuse_what_is_no_support():
    for function in (two_hot, hl_gauss):
        for support in ([1.0, 0.0], [0.0, 0.0], [0.0, np.nan], [0.0, np.inf]):
            with pytest.raises(ValueError, match=f"{function.__name__}: the support must be finite and strictly"):
                function(0.0, jnp.array(support))
        with pytest.raises(ValueError, match="at least 2 atoms; got 1"):
            function(0.0, jnp.array([1.0]))


def test_mean_equals_rlax():
    probs = jax.nn.softmax(jnp.asarray(np.random.default_rng(1).normal(size=(4, 13)), jnp.float32))
    with lenient():
        expected = rlax.transform_from_2hot(probs, -3, 3, 13)
    assert_close(categorical_mean(probs, linear_support(-3, 3, 13)), expected, atol=1e-6)


def test_mean_erases_infinite_atoms_without_probability():
    atoms = jnp.array([-jnp.inf, 1.0, 2.0])
    assert_close(categorical_mean(jnp.array([0.0, 0.5, 0.5]), atoms), 1.5)
    assert categorical_mean(jnp.array([0.1, 0.5, 0.4]), atoms) == -np.inf


def _close_to_rlax(pair, theirs, atol):
    x = jnp.asarray(NUMBERS, jnp.float32)
    with lenient():
        expected = jax.jit(theirs.apply)(x)
        back = jax.jit(theirs.apply_inv)(expected)
    ours = _apply(pair, x)
    assert_close(ours, expected, atol=atol)
    assert_close(_invert(pair, ours), back, rtol=1e-3, atol=1e-3)


def test_pairs_equal_rlax():
    rlax_pair = rlax.TxPair(*HYPERBOLIC)
    even = linear_support(-2, 2, 9)
    _close_to_rlax(two_hot_transform(linear_support(-3, 3, 13)), rlax.twohot_pair(-3, 3, 13), 5e-5)
    _close_to_rlax(two_hot_transform(even, HYPERBOLIC), rlax.muzero_pair(-2, 2, 9, rlax_pair), 5e-5)
    unbiased = two_hot_transform(HYPERBOLIC.invert(even))
    _close_to_rlax(unbiased, rlax.unbiased_transform_pair(-2, 2, 9, rlax_pair), 5e-5)


def test_pairs_come_back():
    x = jnp.linspace(-30, 30, 61)
    for pair in (
        two_hot_transform(linear_support(-6, 6, 25), HYPERBOLIC),
        two_hot_transform(HYPERBOLIC.invert(linear_support(-6, 6, 25))),
    ):
        assert_close(_invert(pair, _apply(pair, x)), x, rtol=1e-3, atol=1e-3)


def test_only_the_unbiased_pair_keeps_averages():
    even = linear_support(-6, 6, 25)
    x = jnp.array([0.0, 30.0])
    biased, unbiased = two_hot_transform(even, HYPERBOLIC), two_hot_transform(HYPERBOLIC.invert(even))
    assert_close(unbiased.invert(unbiased.apply(x).mean(0)), 15, rtol=1e-3)
    assert biased.invert(biased.apply(x).mean(0)) < 12


def test_pair_is_a_pytree():
    pair = two_hot_transform(linear_support(-3, 3, 13), HYPERBOLIC)
    found = jax.jit(lambda pair, x: pair.invert(pair.apply(x)))(pair, jnp.array([1.0, -2.0]))
    assert_close(found, [1, -2], atol=1e-3)
    swept = jax.vmap(lambda high: two_hot_transform(linear_support(-high, high, 5)).apply(1.0))(jnp.array([1.0, 2.0]))
    assert_close(swept, [[0, 0, 0, 0, 1], [0, 0, 0, 1, 0]])
