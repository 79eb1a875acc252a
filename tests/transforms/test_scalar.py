"""The scalar transforms over many scales, against NumPy in double precision and against rlax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.transforms import signed_hyperbolic, signed_parabolic, signed_power, symexp, symlog
from helpers import assert_close, lenient

MANY = np.concatenate([[0.0], *([sign * np.geomspace(1e-12, 1e12, 193)] for sign in (1, -1))], axis=None)
X = jnp.asarray(MANY, jnp.float32)
EXACT = np.asarray(X, np.longdouble)


def relative_error(found, expected):
    found, expected = np.asarray(found, np.longdouble), np.asarray(expected, np.longdouble)
    return np.max(np.abs(found - expected) / np.maximum(np.abs(expected), np.longdouble(1e-30)))


def hyperbolic(x, eps):
    size = np.abs(x)
    return np.sign(x) * np.expm1(np.log1p(size) / 2) + np.longdouble(eps) * x


def parabolic(x, eps):
    """Newton's iteration on the squashed value of m = sqrt(|·| + 1) − 1, which is convex."""
    eps, size = np.longdouble(eps), np.abs(x)
    m = size.copy()
    for _ in range(200):
        m = m - (m + eps * m * (m + 2) - size) / (1 + eps * (2 * m + 2))
    return np.sign(x) * m * (m + 2)


@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.1])
def test_hyperbolic_pair_keeps_its_digits_at_every_scale(eps):
    eps32 = np.float32(eps)
    assert relative_error(jax.jit(signed_hyperbolic)(X, eps), hyperbolic(EXACT, eps32)) < 1e-6
    assert relative_error(jax.jit(signed_parabolic)(X, eps), parabolic(EXACT, eps32)) < 1e-6
    there = jax.jit(lambda x: signed_parabolic(signed_hyperbolic(x, eps), eps))(X)
    assert relative_error(there, EXACT) < 2e-6


def test_log_and_exponential_keep_their_digits():
    assert relative_error(jax.jit(symlog)(X), np.sign(EXACT) * np.log1p(np.abs(EXACT))) < 1e-6
    small = X[jnp.abs(X) < 80]
    size = np.abs(np.asarray(small, np.longdouble))
    assert relative_error(jax.jit(symexp)(small), np.sign(small) * np.expm1(size)) < 1e-6


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0, 2.0])
def test_power_keeps_its_digits(p):
    power = np.longdouble(np.float32(p))
    root = np.sqrt(power)
    expected = np.sign(EXACT) * np.expm1(power * np.log1p(np.abs(EXACT) / root)) / root
    # The exponent p ln(|x|/√p + 1), up to 55, is rounded to its own digits.
    assert relative_error(jax.jit(signed_power)(X, p), expected) < 1e-6 + 4e-7 * max(1, p * 28)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: signed_hyperbolic(x, 0.25), 0.75),
        (lambda x: signed_parabolic(x, 0.25), 1 / 0.75),
        (symlog, 1.0),
        (symexp, 1.0),
        (lambda x: signed_power(x, 0.3), 1.0),
        (lambda x: signed_power(x, 3.0), 1.0),
    ],
)
def test_slope_at_zero_and_oddness(function, slope):
    for zero in (0.0, -0.0, 1e-30, -1e-30):
        assert_close(jax.grad(function)(zero), slope, rtol=1e-6)
    assert function(jnp.zeros(())) == 0
    x = jnp.linspace(0.1, 9, 7)
    np.testing.assert_array_equal(function(-x), -function(x))


@pytest.mark.parametrize("function", [signed_hyperbolic, signed_parabolic, symlog, symexp])
def test_infinity_and_nan_pass(function):
    found = function(jnp.array([jnp.inf, -jnp.inf, jnp.nan]))
    assert found[0] == jnp.inf
    assert found[1] == -jnp.inf
    assert jnp.isnan(found[2])


def test_by_hand():
    # sqrt(8 + 1) − 1 + 0.5·8 = 6, and back; (3/√4 + 1)^... with p = 4: ((2/2 + 1)^4 − 1)/2 = 7.5
    assert_close(signed_hyperbolic(-8.0, 0.5), -6.0)
    assert_close(signed_parabolic(-6.0, 0.5), -8.0)
    assert_close(signed_power(2.0, 4.0), 7.5)
    assert_close(symexp(jnp.log(jnp.float32(5.0))), 4.0)


def test_equals_rlax_where_it_keeps_its_digits():
    x = jnp.asarray(np.concatenate([[0.0], np.geomspace(0.5, 1e6, 40), -np.geomspace(0.5, 1e6, 40)]), jnp.float32)
    with lenient():
        assert_close(signed_hyperbolic(x), rlax.signed_hyperbolic(x), rtol=2e-6)
        assert_close(symlog(x), rlax.signed_logp1(x), rtol=2e-6)
        assert_close(symexp(x[:20]), rlax.signed_expm1(x[:20]), rtol=2e-6)
        assert_close(signed_power(x, 0.4), rlax.power(x, 0.4), rtol=2e-6)
        with jax.enable_x64(True):
            wide = jnp.asarray(np.asarray(x, np.float64))
            assert_close(signed_parabolic(wide), rlax.signed_parabolic(wide), rtol=1e-9)


def test_differs_from_rlax_near_zero():
    x = jnp.array([1e-6, 1e-4], jnp.float32)
    with lenient():
        theirs = np.asarray(rlax.signed_parabolic(x), np.float64), np.asarray(rlax.signed_hyperbolic(x[:1]), np.float64)
        slope = jax.grad(rlax.signed_hyperbolic)(0.0)
    exact = np.asarray(parabolic(np.asarray(x, np.longdouble), np.float32(1e-3)), np.float64)
    assert (np.abs(theirs[0] / exact - 1) > 0.1).all()
    assert abs(theirs[1][0] / 0.501e-6 - 1) > 0.01
    assert_close(slope, 0.001)
    assert_close(signed_parabolic(x), exact, rtol=1e-6, atol=0)


def test_knobs_may_be_traced_and_learned():
    x = jnp.array([-3.0, 2.0])
    by_eps = jax.jit(jax.grad(lambda eps: signed_hyperbolic(x, eps).sum()))(0.1)
    assert_close(by_eps, -1.0)
    swept = jax.vmap(lambda p: signed_power(x, p))(jnp.array([0.5, 2.0]))
    assert_close(swept[1], signed_power(x, 2.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_hyperbolic(1.0, -0.1), "signed_hyperbolic: eps must be at least 0; got -0.1"),
        (lambda: signed_parabolic(1.0, float("nan")), "signed_parabolic: eps must be at least 0; got nan"),
        (lambda: signed_power(1.0, 0.0), "signed_power: p must be above 0; got 0.0"),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
