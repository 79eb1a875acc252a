"""Gradients are clipped element by element, nothing else changes."""

import functools

import jax
import jax.numpy as jnp
import pytest
import rlax

from bellmax.transforms import clip_gradient
from helpers import assert_close, gradient, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)


def test_gradient_of_half_the_square_is_that_of_huber():
    x = jnp.array([-3.0, -0.5, 0.0, 0.25, 7.0])
    found = quick(lambda x: gradient(lambda x: 0.5 * jnp.square(clip_gradient(x, -1.0, 1.0)), x))(x)
    assert_close(found, [-1, -0.5, 0, 0.25, 1])
    with lenient():
        assert_close(found, quick(lambda x: gradient(rlax.huber_loss, x))(x))
        theirs = quick(lambda x: gradient(lambda x: 0.5 * jnp.square(rlax.clip_gradient(x, -1.0, 1.0)), x))
        assert_close(found, theirs(x))


def test_trees_pass_where_rlax_refuses_them():
    tree = {"a": jnp.array([2.0, -5.0]), "b": (jnp.array(3.0),)}

    def loss(tree):
        clipped = clip_gradient(tree, -2.0, 1.5)
        return jnp.sum(jnp.square(clipped["a"])) + jnp.square(clipped["b"][0])

    found = quick(jax.grad(loss))(tree)
    assert_close(found["a"], [1.5, -2.0])
    assert_close(found["b"][0], 1.5)
    with lenient(), pytest.raises((TypeError, ValueError, AssertionError)):
        jax.grad(lambda tree: jnp.sum(rlax.clip_gradient(tree, -2.0, 1.5)["a"]))(tree)


def test_bounds_may_be_traced_and_types_are_kept():
    def slope(x, high):
        return jax.grad(lambda x: 3 * clip_gradient(x, -1, high))(x)

    assert_close(quick(slope)(1.0, 2.0), 2.0)
    assert_close(quick(jax.vmap(slope, (None, 0)))(1.0, jnp.array([0.5, 9.0])), [0.5, 3.0])
    assert jax.eval_shape(slope, jnp.array(1.0, jnp.bfloat16), 2.0).dtype == jnp.bfloat16


def test_nan_stays_visible():
    assert jnp.isnan(jax.grad(lambda x: clip_gradient(x, -1.0, 1.0) * jnp.nan)(1.0))


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="clip_gradient: low must not be above high"):
        clip_gradient(jnp.ones(2), 1.0, -1.0)
