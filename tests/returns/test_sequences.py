import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.returns import extract_subsequences, sample_start_indices, valid_mask
from helpers import assert_close, assert_frequencies, lenient

pytestmark = pytest.mark.slow


def test_pieces_by_hand():
    sequence = jnp.array([[0, 10], [1, 11], [2, 12], [3, 13]])
    found = extract_subsequences(sequence, jnp.array([[0, 2], [1, 1]]), length=2)
    # The first sequence from steps 0 and 2, the second twice from step 1.
    assert found.tolist() == [[[0, 2], [11, 11]], [[1, 3], [12, 12]]]


def test_trees_keep_structure_types_and_trailing_axes():
    tree = {"pixels": jnp.zeros((5, 2, 4, 4), jnp.uint8), "ended": (jnp.ones((5, 2), bool), np.zeros((5, 2)))}
    found = extract_subsequences(tree, jnp.zeros((2, 3), jnp.int32), length=4)
    assert found["pixels"].shape == (4, 2, 3, 4, 4)
    assert found["pixels"].dtype == jnp.uint8
    assert found["ended"][0].shape == found["ended"][1].shape == (4, 2, 3)
    assert found["ended"][0].all()


def test_equals_rlax():
    rng = np.random.default_rng(0)
    sequence, starts = jnp.asarray(rng.normal(size=(7, 3, 2)), jnp.float32), jnp.asarray(rng.integers(0, 5, (3, 4)))
    with lenient():
        expected = rlax.extract_subsequences(sequence, starts, 3)
    np.testing.assert_array_equal(extract_subsequences(sequence, starts, 3), expected)


@pytest.mark.parametrize("start", [-1, 3])
def test_a_start_outside_raises_and_is_nan_under_a_transform(start):
    sequence, starts = jnp.arange(5.0), jnp.array([start, 1])
    with pytest.raises(ValueError, match=r"extract_subsequences: starts must lie in \[0, 2\]"):
        extract_subsequences(sequence, starts, 3)
    found = jax.jit(lambda starts: extract_subsequences(sequence, starts, 3))(starts)
    assert_close(found[:, 1], [1, 2, 3])
    assert np.isnan(found[:, 0]).all()
    with lenient():  # rlax gives the last step again and again, or counts from the end
        assert np.isfinite(rlax.extract_subsequences(sequence[:, None], starts[None], 3)).all()


def test_gradient_counts_how_often_a_step_is_in_a_piece():
    starts = jnp.array([0, 1, 1])
    slope = jax.grad(lambda x: jnp.sum(extract_subsequences(x, starts, 2)))(jnp.arange(4.0))
    assert_close(slope, [1, 3, 2, 0])


def test_wrong_lengths_and_shapes_are_refused():
    sequence, starts = jnp.zeros((5, 2)), jnp.zeros((2, 3), jnp.int32)
    for length in (0, 6):
        with pytest.raises(ValueError, match=rf"length must lie in \[1, 5\]; got {length}"):
            extract_subsequences(sequence, starts, length)
    with pytest.raises(ValueError, match=r"starts have batch axes \(2,\); got an array of \(5, 3\)"):
        extract_subsequences(jnp.zeros((5, 3)), starts, 2)
    with pytest.raises(TypeError, match="sequences"):
        extract_subsequences({"a": sequence, "b": sequence[:-1]}, starts, 2)
    with pytest.raises(TypeError, match="starts"):
        extract_subsequences(sequence, starts.astype(float), 2)


def test_starts_are_distinct_and_uniform(getkey):
    draw = jax.jit(lambda key: sample_start_indices(8, 4, 3, (40, 50), key=key))
    starts = np.asarray(draw(getkey()))
    assert starts.shape == (40, 50, 3)
    assert starts.dtype == np.int32
    assert (np.diff(np.sort(starts, -1)) > 0).all()
    for i in range(3):
        assert_frequencies(starts[..., i], np.full(5, 0.2))


def test_keys_decide_and_vmap_over_keys_is_a_loop(getkey):
    keys = jax.random.split(getkey(), 3)
    draw = jax.jit(lambda key: sample_start_indices(20, 5, 4, (2,), key=key))
    mapped = jax.jit(jax.vmap(draw))(keys)
    np.testing.assert_array_equal(mapped, [draw(key) for key in keys])
    assert len({tuple(row.tolist()) for row in np.asarray(mapped).reshape(6, 4)}) == 6
    assert jax.eval_shape(lambda key: sample_start_indices(20, 5, 4, key=key), keys[0]).shape == (4,)


def test_starts_equal_rlax(getkey):
    key = getkey()
    with lenient():
        expected = rlax.sample_start_indices(key, 3, 4, 15)
    found = sample_start_indices(20, 5, 4, (3,), key=key)
    np.testing.assert_array_equal(found, expected)
    # As many starts as there are: each once.
    every = sample_start_indices(20, 5, 16, (3,), key=key)
    np.testing.assert_array_equal(np.sort(every, -1), np.tile(np.arange(16), (3, 1)))


def test_more_starts_than_there_are_and_lengths_that_do_not_fit_are_refused(getkey):
    with pytest.raises(ValueError, match=r"sample_start_indices: count must lie in \[1, 3\], all different; got 4"):
        sample_start_indices(5, 3, 4, key=getkey())
    with pytest.raises(ValueError, match=r"sample_start_indices: length must lie in \[1, 5\]; got 6"):
        sample_start_indices(5, 6, 1, key=getkey())


def test_a_mask_ends_with_the_first_end_of_either_kind():
    terminated = jnp.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0]], bool).T
    truncated = jnp.array([[0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]], bool).T
    expected = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], bool).T
    np.testing.assert_array_equal(valid_mask(terminated, truncated), expected)
    assert valid_mask(terminated[:0], truncated[:0]).shape == (0, 4)


def test_a_mask_is_made_of_booleans():
    with pytest.raises(TypeError, match="truncated"):
        valid_mask(jnp.zeros(3, bool), jnp.zeros(3))
