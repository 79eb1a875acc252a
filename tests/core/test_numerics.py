import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import at_least_float32, mix, multiply_no_nan
from helpers import check_mix, check_multiply_no_nan, lenient


def test_a_zero_weight_erases_and_other_products_are_plain():
    check_multiply_no_nan(multiply_no_nan)


def test_mix_at_both_ends_and_between():
    check_mix(mix)


def test_a_nan_that_has_weight_stays_visible():
    assert np.isnan(multiply_no_nan(jnp.array(jnp.nan), jnp.array(0.5)))
    assert np.isnan(multiply_no_nan(jnp.array(1.0), jnp.array(jnp.nan)))
    assert np.isnan(mix(jnp.array(jnp.nan), jnp.array(1.0), jnp.array(0.5)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_half_precision_is_widened(dtype):
    with lenient():
        assert at_least_float32(jnp.ones(2, dtype)).dtype == jnp.float32


def test_double_precision_is_kept():
    with jax.enable_x64(True), lenient():
        assert at_least_float32(jnp.ones(2, jnp.float64)).dtype == jnp.float64


def test_half_precision_is_widened_under_strict_promotion():
    assert at_least_float32(jnp.ones(2, jnp.bfloat16)).dtype == jnp.float32
