"""The tree against plain numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bellmax.replay import SumTree
from training.laws import fast_jit

COUNT = 1100  # three levels of 16, the last row of each not full


def test_sums_equal_their_parts_after_many_changes():
    draws, tree, wanted = np.random.default_rng(0), SumTree.zeros(COUNT), np.zeros(COUNT, np.float32)
    change = fast_jit(lambda tree, *change: tree.set(*change))
    for _ in range(50):
        indices, values = draws.integers(0, COUNT, 40), draws.exponential(size=40).astype(np.float32)
        where = draws.random(40) < 0.8
        tree = change(tree, indices, values, where)
        for index in np.unique(indices[where]):
            wanted[index] = values[where & (indices == index)].max()
    np.testing.assert_array_equal(np.asarray(tree.levels[0]).ravel()[:COUNT], wanted)
    assert len(tree.levels) == 3
    for numbers, sums in zip(tree.levels, tree.levels[1:], strict=False):
        found = np.asarray(sums).ravel()
        np.testing.assert_allclose(found[: len(numbers)], np.asarray(numbers).sum(-1), rtol=1e-6)
        assert not found[len(numbers) :].any()
    np.testing.assert_allclose(tree.total, wanted.sum(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_largest_of_several_changes_counts_whatever_their_order(order):
    indices, values = np.array([5, 5, 5, 6])[order], np.array([1.0, 3.0, 9.0, 2.0], np.float32)[order]
    where = np.array([True, True, False, False])[order]
    tree = SumTree.zeros(8).set(jnp.array([5, 6]), jnp.array([7.0, 4.0])).set(indices, values, where)
    np.testing.assert_array_equal(tree.get(jnp.array([5, 6])), [3.0, 4.0])
    assert float(tree.total) == 7.0


def test_draws_are_in_proportion_and_never_of_zero():
    numbers = np.random.default_rng(1).exponential(size=COUNT).astype(np.float32)
    numbers[::3] = 0
    tree = SumTree.zeros(COUNT).set(jnp.arange(COUNT), numbers)
    found = np.asarray(fast_jit(lambda tree, key: tree.draw(200_000, key=key))(tree, jax.random.key(0)))
    counts = np.bincount(found, minlength=COUNT)
    assert len(counts) == COUNT
    assert not counts[::3].any()
    likely = numbers / numbers.sum() * 200_000 > 5
    rest = [counts[~likely].sum()], [numbers[~likely].sum()]
    seen, wanted = np.append(counts[likely], rest[0]), np.append(numbers[likely], rest[1])
    assert stats.chisquare(seen, wanted / wanted.sum() * seen.sum()).pvalue > 1e-3


@pytest.mark.slow
def test_draws_of_one_call_are_independent():
    tree = SumTree.zeros(3).set(jnp.arange(3), jnp.array([1.0, 2.0, 3.0]))
    keys = jax.random.split(jax.random.key(0), 20_000)
    found = np.asarray(fast_jit(jax.vmap(lambda key: tree.draw(2, key=key)))(keys))
    counts = np.bincount(found[:, 0] * 3 + found[:, 1], minlength=9)
    wanted = np.outer([1, 2, 3], [1, 2, 3]).ravel() / 36
    assert stats.chisquare(counts, wanted * 20_000).pvalue > 1e-3


@pytest.mark.parametrize("large", [1.0, 1e30])
def test_small_numbers_beside_large_ones_are_no_trouble(large):
    # One large number and a thousand zeros: rounding never leads to a zero.
    tree = SumTree.zeros(COUNT).set(jnp.array([1, 31, 700]), jnp.array([large, 1e-30, large]))
    found = np.asarray(fast_jit(lambda tree, key: tree.draw(5000, key=key))(tree, jax.random.key(0)))
    assert set(found) == {1, 700}


def test_nothing_to_draw_gives_a_legal_index():
    np.testing.assert_array_equal(SumTree.zeros(40).draw(3, key=jax.random.key(0)), [0, 0, 0])


def test_draw_of_exactly_zero_falls_on_a_number_above_zero():
    # It comes once in eight million draws.
    tree = SumTree.zeros(40).set(jnp.array([21, 35]), jnp.array([1.0, 2.0]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "uniform", lambda key, shape: jnp.zeros(shape))
        assert tree.draw(1, key=jax.random.key(0)).tolist() == [21]
