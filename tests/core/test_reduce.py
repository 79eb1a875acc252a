import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from bellmax._core import Mean, masked_mean, mean_and_variance, pmean, psum, standardise
from helpers import assert_close, check_masked_mean, check_masked_mean_across_devices, float32, gradient


def test_masked_mean_keeps_what_the_mask_keeps():
    check_masked_mean(masked_mean)


def test_pmean_of_masked_means_is_the_mean_over_all_devices_however_uneven_the_masks():
    check_masked_mean_across_devices(masked_mean)


def test_masked_mean_shares_its_gradient_with_the_global_mean_over_common_parameters():
    rng = np.random.default_rng(0)
    x, mask = float32(rng.normal(size=(4, 5)))[0], jnp.asarray(rng.uniform(size=(4, 5)) < 0.4)

    def of_all(scale):
        return masked_mean(jnp.square(scale * x), mask)

    def of_one(scale, x, mask):
        value, slope = jax.value_and_grad(lambda scale: masked_mean(jnp.square(scale * x), mask, "devices"))(scale)
        return jax.lax.pmean((value, slope), "devices")

    values, slopes = jax.vmap(of_one, (None, 0, 0), axis_name="devices")(jnp.float32(1.5), x, mask)
    value, slope = jax.value_and_grad(of_all)(jnp.float32(1.5))
    assert_close(values, np.full(4, value))
    assert_close(slopes, np.full(4, slope))


def test_masked_mean_without_anything_on_any_device_is_zero():
    values = jax.vmap(lambda x, mask: masked_mean(x, mask, "devices"), axis_name="devices")(
        jnp.full((4, 2), jnp.nan), jnp.zeros((4, 2), bool)
    )
    assert (np.asarray(values) == 0).all()


def test_masked_mean_keeps_the_type_and_takes_weights():
    for dtype in (jnp.bfloat16, jnp.float16, jnp.float32):
        assert masked_mean(jnp.ones(3, dtype), jnp.ones(3, bool)).dtype == dtype
    with jax.enable_x64(True):
        assert masked_mean(jnp.ones(3, jnp.float64), jnp.ones(3, bool)).dtype == jnp.float64
    assert_close(masked_mean(*float32([1, 4], [1, 2])), 3)
    assert_close(masked_mean(np.array([1, 4]), np.array([1, 0])), 1)


def test_masked_mean_refuses_a_column_beside_a_row():
    with pytest.raises(jaxtyping.TypeCheckError, match=r"(?s)masked_mean.*mask"):
        masked_mean(jnp.ones(3), jnp.ones((3, 1)))


def test_nan_that_the_mask_keeps_stays_visible():
    assert np.isnan(masked_mean(*float32([np.nan, 1], [1, 1])))


def test_pmean_and_psum_without_an_axis_change_nothing():
    tree = {"a": jnp.arange(3.0)}
    assert pmean(tree, None) is tree
    assert psum(tree, None) is tree


def test_pmean_and_psum_reduce_across_an_axis():
    x = jnp.arange(4.0)
    assert_close(jax.vmap(lambda x: pmean(x, "devices"), axis_name="devices")(x), np.full(4, 1.5))
    assert_close(jax.vmap(lambda x: psum(x, "devices"), axis_name="devices")(x), np.full(4, 6))


def test_mean_of_two_means_weighs_them():
    # (1·1 + 4·2) / 3 = 3
    assert_close((Mean.of(jnp.array(1.0), 1.0) + Mean.of(jnp.array(4.0), 2.0)).value, 3)


def test_mean_adds_in_any_order_and_grouping():
    values, weights = float32(*np.random.default_rng(0).uniform(size=(2, 3, 4)))
    a, b, c = (Mean.of(value, weight) for value, weight in zip(values, weights, strict=True))
    expected = np.average(values, axis=0, weights=weights)
    for total in ((a + b) + c, a + (b + c), c + b + a):
        assert_close(total.value, expected)


def test_mean_without_weight_adds_nothing_whatever_its_value():
    for poison in (np.nan, np.inf):
        assert_close((Mean.of(jnp.array(2.0)) + Mean.of(jnp.float32(poison), 0.0)).value, 2)
    assert np.isnan(Mean.of(jnp.array(2.0), 0.0).value)


def test_mean_one_weight_serves_many_values():
    assert_close(Mean.of(jnp.array([1.0, 2.0]), 3.0).weight, [3, 3])


def test_standardise_gives_mean_zero_and_variance_one():
    x = float32(np.random.default_rng(0).normal(5, 3, size=(4, 25)))[0]
    scaled = np.asarray(standardise(x), np.float64)
    assert_close([scaled.mean(), scaled.var()], [0, 1])
    assert_close(scaled, (np.asarray(x) - np.mean(x)) / np.std(x), rtol=1e-4)


def test_standardise_across_devices_is_that_of_the_whole():
    x = float32(np.random.default_rng(0).normal(5, 3, size=(4, 25)))[0]
    spread = jax.vmap(lambda x: standardise(x, "devices"), axis_name="devices")(x)
    assert_close(spread, standardise(x))


def test_standardise_of_equal_numbers_is_zero():
    assert_close(standardise(jnp.full(5, 3.0)), np.zeros(5))


def test_masked_mean_gradient_is_finite_beside_infinities():
    assert_close(gradient(masked_mean, *float32([1, np.inf, -np.inf], [1, 0, 0])), [1, 0, 0])


def test_standardised_equal_numbers_are_zero_whatever_they_are():
    for number in (0.1, 1000.1, -12345.678):
        for size in (7, 48, 64):
            assert (standardise(jnp.full(size, number)) == 0).all()


def test_mean_and_variance_have_the_gradients_of_the_formula():
    x = jnp.array([1.0, 2.0, 4.0])
    assert_close(jax.grad(lambda x: mean_and_variance(x)[0])(x), [1 / 3] * 3)
    assert_close(jax.grad(lambda x: mean_and_variance(x)[1])(x), 2 / 3 * (x - 7 / 3))


def test_standardise_over_a_mask_is_that_of_what_it_keeps():
    x = float32(np.random.default_rng(0).normal(5, 3, size=(4, 25)))[0]
    mask = jnp.asarray(np.random.default_rng(1).random((4, 25)) < 0.3)
    wanted = (np.asarray(x) - np.mean(x[mask])) / np.std(x[mask])
    assert_close(standardise(jnp.where(mask, x, 99.0), mask=mask)[mask], wanted[np.asarray(mask)], rtol=1e-4)
    spread = jax.vmap(lambda x, mask: standardise(x, "devices", mask), axis_name="devices")(x, mask)
    assert_close(spread, wanted, rtol=1e-4)
    for number in (0.1, 0.7, -12345.678):
        equal = jnp.where(mask, number, 3.0)
        assert (standardise(equal, mask=mask)[mask] == 0).all()
    assert np.isfinite(standardise(x, mask=jnp.zeros_like(mask))).all()
