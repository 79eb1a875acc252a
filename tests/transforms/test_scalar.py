"""The scalar transforms over many scales, against NumPy in double precision and against rlax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.transforms import signed_hyperbolic, signed_parabolic, signed_power, symexp, symlog
from helpers import assert_close, lenient

pytestmark = pytest.mark.slow

MANY = np.concatenate([[0.0], *([sign * np.geomspace(1e-12, 1e12, 193)] for sign in (1, -1))], axis=None)
X = jnp.asarray(MANY, jnp.float32)
EXACT = np.asarray(X, np.longdouble)
quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
hyperbolic_of, parabolic_of, power_of = (quick(each) for each in (signed_hyperbolic, signed_parabolic, signed_power))


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
    assert relative_error(hyperbolic_of(X, eps=eps), hyperbolic(EXACT, eps32)) < 1e-6
    assert relative_error(parabolic_of(X, eps=eps), parabolic(EXACT, eps32)) < 1e-6
    there = parabolic_of(hyperbolic_of(X, eps=eps), eps=eps)
    assert relative_error(there, EXACT) < 2e-6


def test_log_and_exponential_keep_their_digits():
    assert relative_error(quick(symlog)(X), np.sign(EXACT) * np.log1p(np.abs(EXACT))) < 1e-6
    small = X[jnp.abs(X) < 80]
    size = np.abs(np.asarray(small, np.longdouble))
    assert relative_error(quick(symexp)(small), np.sign(small) * np.expm1(size)) < 1e-6


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0, 2.0])
def test_power_keeps_its_digits(p):
    power = np.longdouble(np.float32(p))
    root = np.sqrt(power)
    expected = np.sign(EXACT) * np.expm1(power * np.log1p(np.abs(EXACT) / root)) / root
    # The exponent p ln(|x|/√p + 1), up to 55, is rounded to its own digits.
    assert relative_error(power_of(X, p=p), expected) < 1e-6 + 4e-7 * max(1, p * 28)


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: signed_hyperbolic(x, eps=0.25), 0.75),
        (lambda x: signed_parabolic(x, eps=0.25), 1 / 0.75),
        (symlog, 1.0),
        (symexp, 1.0),
        (lambda x: signed_power(x, p=0.3), 1.0),
        (lambda x: signed_power(x, p=3.0), 1.0),
    ],
)
def test_slope_at_zero_and_oddness(function, slope):
    @quick
    def found(zeros, x):
        return jax.vmap(jax.grad(function))(zeros), function(jnp.zeros(())), function(x), function(-x)

    slopes, zero, plus, minus = found(jnp.array([0.0, -0.0, 1e-30, -1e-30]), jnp.linspace(0.1, 9, 7))
    assert_close(slopes, slope, rtol=1e-6)
    assert zero == 0
    np.testing.assert_array_equal(minus, -np.asarray(plus))


@pytest.mark.parametrize("function", [signed_hyperbolic, signed_parabolic, symlog, symexp])
def test_infinity_and_nan_pass(function):
    found = quick(function)(jnp.array([jnp.inf, -jnp.inf, jnp.nan]))
    assert found[0] == jnp.inf
    assert found[1] == -jnp.inf
    assert jnp.isnan(found[2])


def test_by_hand():
    # sqrt(8 + 1) − 1 + 0.5·8 = 6, and back; (3/√4 + 1)^... with p = 4: ((2/2 + 1)^4 − 1)/2 = 7.5
    assert_close(signed_hyperbolic(-8.0, eps=0.5), -6.0)
    assert_close(signed_parabolic(-6.0, eps=0.5), -8.0)
    assert_close(signed_power(2.0, p=4.0), 7.5)
    assert_close(symexp(jnp.log(jnp.float32(5.0))), 4.0)


def test_equals_rlax_where_it_keeps_its_digits():
    x = jnp.asarray(np.concatenate([[0.0], np.geomspace(0.5, 1e6, 40), -np.geomspace(0.5, 1e6, 40)]), jnp.float32)
    with lenient():
        assert_close(quick(signed_hyperbolic)(x), quick(rlax.signed_hyperbolic)(x), rtol=2e-6)
        assert_close(quick(symlog)(x), quick(rlax.signed_logp1)(x), rtol=2e-6)
        assert_close(quick(symexp)(x[:20]), quick(rlax.signed_expm1)(x[:20]), rtol=2e-6)
        assert_close(quick(signed_power)(x, p=0.4), quick(rlax.power)(x, 0.4), rtol=2e-6)
        with jax.enable_x64(True):
            wide = jnp.asarray(np.asarray(x, np.float64))
            assert_close(quick(signed_parabolic)(wide), quick(rlax.signed_parabolic)(wide), rtol=1e-9)


def test_differs_from_rlax_near_zero():
    x = jnp.array([1e-6, 1e-4], jnp.float32)
    with lenient():
        theirs = [np.asarray(quick(f)(x), np.float64) for f in (rlax.signed_parabolic, rlax.signed_hyperbolic)]
        slope = quick(jax.grad(rlax.signed_hyperbolic))(0.0)
    exact = np.asarray(parabolic(np.asarray(x, np.longdouble), np.float32(1e-3)), np.float64)
    assert (np.abs(theirs[0] / exact - 1) > 0.1).all()
    assert abs(theirs[1][0] / 0.501e-6 - 1) > 0.01
    assert_close(slope, 0.001)
    assert_close(quick(signed_parabolic)(x), exact, rtol=1e-6, atol=0)


def test_knobs_may_be_traced_and_learned():
    x = jnp.array([-3.0, 2.0])
    by_eps = quick(jax.grad(lambda eps: signed_hyperbolic(x, eps=eps).sum()))(0.1)
    assert_close(by_eps, -1.0)
    swept = quick(jax.vmap(lambda p: signed_power(x, p=p)))(jnp.array([0.5, 2.0]))
    assert_close(swept[1], signed_power(x, p=2.0))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_hyperbolic(1.0, eps=-0.1), "signed_hyperbolic: eps must be at least 0; got -0.1"),
        (lambda: signed_parabolic(1.0, eps=float("nan")), "signed_parabolic: eps must be at least 0; got nan"),
        (lambda: signed_power(1.0, p=0.0), "signed_power: p must be above 0; got 0.0"),
    ],
)
def test_knobs_outside_their_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
