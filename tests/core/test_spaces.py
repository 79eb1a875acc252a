import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from bellmax._core import clip_to, example
from helpers import assert_close


def test_example_is_zeros_of_the_shape_and_type_of_the_space():
    box = spaces.Box(-1, 1, (2, 3), np.float32)
    for space, shape, dtype in [
        (box, (2, 3), jnp.float32),
        (spaces.Box(0, 255, (4,), np.uint8), (4,), jnp.uint8),
        (spaces.Box(-1, 1, (), np.float64), (), jnp.float32),
        (spaces.Discrete(4), (), jnp.int32),
        (spaces.MultiDiscrete([2, 3]), (2,), jnp.int32),
        (spaces.MultiBinary(3), (3,), jnp.int8),
    ]:
        shown = example(space)
        assert (shown.shape, shown.dtype) == (shape, dtype)
        assert not np.any(shown)


def test_example_follows_the_structure():
    space = spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(3)))})
    shown = example(space)
    assert jax.tree.structure(shown) == jax.tree.structure({"a": 0, "b": (0, 0)})
    assert shown["a"].shape == (2,)
    assert shown["b"][1].shape == (3,)


def test_a_space_without_a_fixed_shape_is_refused():
    with pytest.raises(TypeError, match="no fixed shape"):
        example(spaces.Text(5))


def test_clip_to_brings_an_action_inside_a_box():
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.5], np.float32))
    assert_close(clip_to(space, jnp.array([-3.0, 3.0])), [-1, 0.5])
    assert_close(clip_to(space, jnp.array([0.5, 0.25])), [0.5, 0.25])
    assert_close(
        jax.vmap(lambda action: clip_to(space, action))(jnp.array([[5.0, 5.0], [-5.0, -5.0]])), [[1, 0.5], [-1, 0]]
    )
    assert clip_to(space, jnp.ones(2, jnp.bfloat16)).dtype == jnp.bfloat16
    assert np.isnan(clip_to(space, jnp.full(2, jnp.nan))).all()


def test_clip_to_a_box_without_bounds_changes_nothing():
    space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    np.testing.assert_array_equal(clip_to(space, jnp.array([1e30, -1e30])), np.array([1e30, -1e30], np.float32))


def test_clip_to_leaves_other_actions_alone():
    assert clip_to(spaces.Discrete(3), jnp.array(2)) == 2


def test_clip_to_reaches_boxes_inside_other_spaces():
    box = spaces.Box(-1, 1, (2,), np.float32)
    clipped = clip_to(spaces.Tuple((box, spaces.Discrete(2))), (jnp.full(2, 3.0), jnp.array(1)))
    assert_close(clipped[0], [1, 1])
