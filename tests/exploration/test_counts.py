"""Codes, counts and the bonus that falls with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.exploration import count_bonus, simhash, update_counts
from faults import plant
from helpers import assert_close

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
update = quick(update_counts)


def test_codes_equal_a_loop_and_keep_batch_axes():
    rng = np.random.default_rng(0)
    features, projection = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.normal(size=(31, 4)).astype(np.float32)
    expected = np.zeros((2, 3), np.int64)
    for index in np.ndindex(2, 3):
        for bit, row in enumerate(projection.astype(np.float64)):
            expected[index] += 2**bit * (float(row @ features[index].astype(np.float64)) >= 0)
    coded = quick(simhash)
    found = coded(features, projection)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)
    mapped = quick(jax.vmap(jax.vmap(simhash, (0, None)), (0, None)))(features, projection)
    np.testing.assert_array_equal(mapped, expected)
    np.testing.assert_array_equal(coded(5 * features, projection), expected)  # only directions count


def check_features_of_zero(simhash):
    # A·0 = 0 ≥ 0 on every plane: 1 + 2 + 4. Beside it (1, −1), on the second plane's other side: 1 + 4.
    projection = jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    np.testing.assert_array_equal(
        quick(simhash)(jnp.array([[0.0, 0.0], [-0.0, 0.0], [1.0, -1.0]]), projection), [7, 7, 5]
    )


def test_features_of_zero_have_every_bit():
    check_features_of_zero(simhash)
    assert quick(simhash)(jnp.zeros(2), jnp.ones((31, 2))) == 2**31 - 1


def test_codes_differ_as_often_as_the_angle_says():
    # Two directions at 60°: a random plane separates them with probability 60/180.
    projection = np.random.default_rng(3).normal(size=(1000, 31, 2)).astype(np.float32)
    one, other = jnp.array([1.0, 0.0]), jnp.array([0.5, 3**0.5 / 2])
    differing = quick(jax.vmap(lambda a: jax.lax.population_count(simhash(one, a) ^ simhash(other, a))))(projection)
    # Standard error of a mean of 31000 bits: sqrt(2/9 / 31000) = 0.0027
    assert abs(float(np.sum(np.asarray(differing))) / 31000 - 1 / 3) < 0.012


def test_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="simhash: at most 31 bits fit a code; got a projection of 32 rows"):
        simhash(jnp.ones(2), jnp.ones((32, 2)))


def check_counts(update_counts):
    update = quick(update_counts)
    count, table = update(jnp.zeros(4, jnp.int32), jnp.array([[1, 1], [7, -1]]))  # 7 and −1 share the entry 3
    np.testing.assert_array_equal(count, [[2, 2], [2, 2]])
    count, table = update(table, jnp.array([1, 0], jnp.uint8))
    np.testing.assert_array_equal(count, [3, 1])
    np.testing.assert_array_equal(table, [1, 3, 0, 2])
    return table


def test_counts_by_hand_over_two_batches():
    table = check_counts(update_counts)
    assert_close(count_bonus(jnp.array([3, 1]), beta=3.0), [3**0.5, 3])
    count, same = update(table, jnp.zeros(0, jnp.int32))
    np.testing.assert_array_equal(same, table)
    assert count.shape == (0,)


@pytest.mark.parametrize(
    ("function", "old", "new", "check"),
    [
        ("simhash", ") >= 0\n", ") > 0\n", check_features_of_zero),
        (
            "simhash",
            "2 ** jnp.arange(bits, dtype=jnp.int32)",
            "jnp.arange(bits, dtype=jnp.int32)",
            check_features_of_zero,
        ),
        ("update_counts", "return table[entry], table", "return visits[entry], table", check_counts),
        ("update_counts", ".add(1)", ".set(1)", check_counts),
        ("update_counts", "table = table + visits", "table = table + 2 * visits", check_counts),
    ],
)
def test_the_fault_is_seen(function, old, new, check):
    with pytest.raises(AssertionError):
        check(plant("bellmax.exploration._counts", function, old, new))


def test_counts_of_two_devices_equal_one():
    codes = jnp.asarray(np.random.default_rng(1).integers(0, 9, (2, 5)), jnp.int32)
    table = jnp.arange(6, dtype=jnp.int32)
    count, whole = update(table, codes)
    spread, tables = jax.pmap(
        lambda codes: update_counts(table, codes, axis_name="devices"), "devices", devices=jax.local_devices()[:2]
    )(codes)
    np.testing.assert_array_equal(spread, count)
    for each in tables:
        np.testing.assert_array_equal(each, whole)


def test_bonus_takes_integers_and_checks_beta():
    assert_close(count_bonus(jnp.array([0, 1, 4, 100]), beta=1.0), [1, 1, 0.5, 0.1])
    with pytest.raises(ValueError, match=r"count_bonus: beta must be at least 0; got -1.0"):
        count_bonus(jnp.ones(2), beta=-1.0)
