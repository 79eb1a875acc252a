import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import lane_keys, random_order
from helpers import assert_frequencies, check_lane_keys, check_random_order


def test_lane_keys_do_not_depend_on_how_lanes_are_spread():
    check_lane_keys(lane_keys)


def test_lane_keys_stay_when_lanes_are_added():
    key = jax.random.key(0)
    np.testing.assert_array_equal(jax.random.key_data(lane_keys(key, 8))[:3], jax.random.key_data(lane_keys(key, 3)))


def test_lane_keys_differ_between_parent_keys():
    one, other = (np.asarray(jax.random.key_data(lane_keys(jax.random.key(seed), 4))) for seed in (0, 1))
    assert (one != other).any(axis=1).all()


@pytest.mark.parametrize("length", [1, 2, 3, 100, 128, 2**16, 70_000])
def test_random_order_is_a_permutation(length, getkey):
    order = random_order(getkey(), length)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(length))


def test_random_order_is_uniform():
    check_random_order(random_order)


def test_random_order_of_two_is_a_coin():
    orders = jax.jit(jax.vmap(lambda key: random_order(key, 2)))(jax.random.split(jax.random.key(0), 10_000))
    assert_frequencies(orders[:, 0], [0.5, 0.5])


@pytest.mark.parametrize("length", [128, 2**16])
def test_random_order_of_many_mixes_them(length, getkey):
    # Where an index lands has nothing to do with where it was: the correlation is normal with deviation 1/√n.
    order = np.asarray(random_order(getkey(), length))
    assert abs(np.corrcoef(order, np.arange(length))[0, 1]) < 5 / np.sqrt(length)
    assert not np.array_equal(order, random_order(getkey(), length))
