import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.distributional import categorical_mean, linear_support, quantile_midpoints, symexp_support
from helpers import assert_close

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("low", "high", "n"), [(-10, 10, 51), (0.1, 1e6, 601), (-300, 300, 601), (-1, 0.3, 2)])
def test_linear_support_is_even_with_exact_ends(low, high, n):
    atoms = linear_support(low, high, n)
    assert_close(atoms, np.linspace(low, high, n), rtol=1e-6, atol=1e-6 * abs(high))
    np.testing.assert_array_equal(atoms[jnp.array([0, -1])], np.array([low, high], np.float32))
    assert (jnp.diff(atoms) > 0).all()


@pytest.mark.parametrize("n", [2, 50, 51, 255])
@pytest.mark.parametrize("high", [0.7, 10, 20])
def test_symmetric_ranges_are_symmetric_exactly(n, high):
    for support in (linear_support, symexp_support):
        atoms = np.asarray(support(-high, high, n))
        np.testing.assert_array_equal(atoms, -atoms[::-1])


def test_symexp_support_is_that_of_dreamer():
    x = np.linspace(-20, 20, 255)
    assert_close(symexp_support(), np.sign(x) * np.expm1(abs(x)), rtol=1e-5, atol=1e-6)


def test_mean_of_a_uniform_distribution_over_the_widest_atoms_is_zero():
    atoms = symexp_support()
    assert categorical_mean(jax.nn.softmax(jnp.zeros(255)), atoms) == 0
    # A plain sum of the same parts, the largest 1.9e6, stays away from it.
    assert abs(np.cumsum(np.asarray(atoms) / np.float32(255))[-1]) > 0.01


def test_quantile_midpoints_by_hand():
    # Shares of a fifth: their middles.
    assert_close(quantile_midpoints(5), [0.1, 0.3, 0.5, 0.7, 0.9], atol=1e-7)


def test_ends_may_be_traced():
    swept = jax.jit(jax.vmap(lambda high: linear_support(-1.0, high, 3)))(jnp.array([1.0, 3.0]))
    assert_close(swept, [[-1, 0, 1], [-1, 1, 3]])


def test_types():
    assert linear_support(0, 1, 5).dtype == jnp.float32
    assert linear_support(jnp.bfloat16(0), jnp.bfloat16(1), 5).dtype == jnp.bfloat16
    with jax.enable_x64(True):
        assert_close(linear_support(-1, 2, 7), np.linspace(-1, 2, 7), rtol=0, atol=1e-15)
        assert quantile_midpoints(3).dtype == symexp_support().dtype == jnp.float64


@pytest.mark.parametrize("support", [linear_support, symexp_support])
def test_what_is_no_support_is_refused(support):
    for low, high in ((1, 1), (2, 1), (0, np.nan), (0, np.inf)):
        with pytest.raises(ValueError, match=f"{support.__name__}: low must be less than high"):
            support(low, float(high), 5)
    with pytest.raises(ValueError, match=f"{support.__name__}: num_atoms must be at least 2; got 1"):
        support(0, 1, 1)


def test_atoms_that_overflow_are_refused():
    assert np.isfinite(symexp_support(-88, 88.7)).all()
    for low, high in ((-100, 100), (0, 89)):
        with pytest.raises(ValueError, match=r"symexp_support: low and high must lie within ±88.7, where float32"):
            symexp_support(low, high)
    with jax.enable_x64(True):
        assert np.isfinite(symexp_support(-100, 100)).all()


def test_no_quantiles_are_refused():
    with pytest.raises(ValueError, match="num_quantiles must be at least 1; got 0"):
        quantile_midpoints(0)
