"""Codes, counts and the bonus that falls with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.exploration import count_bonus, simhash, update_counts
from helpers import assert_close


def test_codes_equal_a_loop_and_keep_batch_axes():
    rng = np.random.default_rng(0)
    features, projection = rng.normal(size=(2, 3, 4)).astype(np.float32), rng.normal(size=(31, 4)).astype(np.float32)
    expected = np.zeros((2, 3), np.int64)
    for index in np.ndindex(2, 3):
        for bit, row in enumerate(projection.astype(np.float64)):
            expected[index] += 2**bit * (float(row @ features[index].astype(np.float64)) >= 0)
    found = jax.jit(simhash)(features, projection)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(jax.vmap(jax.vmap(simhash, (0, None)), (0, None))(features, projection), expected)
    np.testing.assert_array_equal(simhash(5 * features, projection), expected)  # only directions count


def test_codes_differ_as_often_as_the_angle_says():
    # Two directions at 60°: a random plane separates them with probability 60/180.
    projection = jax.random.normal(jax.random.key(0), (1000, 31, 2))
    one, other = jnp.array([1.0, 0.0]), jnp.array([0.5, 3**0.5 / 2])
    differing = jax.vmap(lambda a: jax.lax.population_count(simhash(one, a) ^ simhash(other, a)))(projection)
    # Standard error of a mean of 31000 bits: sqrt(2/9 / 31000) = 0.0027
    assert abs(float(differing.sum()) / 31000 - 1 / 3) < 0.012


def test_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="simhash: at most 31 bits fit a code; got a projection of 32 rows"):
        simhash(jnp.ones(2), jnp.ones((32, 2)))


def test_counts_by_hand_over_two_batches():
    table = jnp.zeros(4, jnp.int32)
    count, table = update_counts(table, jnp.array([[1, 1], [7, -1]]))  # 7 and −1 share the entry 3
    np.testing.assert_array_equal(count, [[2, 2], [2, 2]])
    count, table = jax.jit(update_counts)(table, jnp.array([1, 0], jnp.uint8))
    np.testing.assert_array_equal(count, [3, 1])
    np.testing.assert_array_equal(table, [1, 3, 0, 2])
    assert_close(count_bonus(count, beta=3.0), [3**0.5, 3])
    count, same = update_counts(table, jnp.zeros(0, jnp.int32))
    np.testing.assert_array_equal(same, table)
    assert count.shape == (0,)


def test_counts_of_two_devices_equal_one():
    codes = jnp.asarray(np.random.default_rng(1).integers(0, 9, (2, 5)), jnp.int32)
    table = jnp.arange(6, dtype=jnp.int32)
    count, whole = update_counts(table, codes)
    spread, tables = jax.pmap(
        lambda codes: update_counts(table, codes, "devices"), "devices", devices=jax.local_devices()[:2]
    )(codes)
    np.testing.assert_array_equal(spread, count)
    for each in tables:
        np.testing.assert_array_equal(each, whole)


def test_bonus_takes_integers_and_checks_beta():
    assert_close(count_bonus(jnp.array([0, 1, 4, 100]), beta=1.0), [1, 1, 0.5, 0.1])
    with pytest.raises(ValueError, match=r"count_bonus: beta must be at least 0; got -1.0"):
        count_bonus(jnp.ones(2), beta=-1.0)
