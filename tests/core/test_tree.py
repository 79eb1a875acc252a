"""Trees whose leaves have types of their own."""

import jax
import jax.numpy as jnp
import numpy as np

from bellmax._core import strong


def weak(tree):
    return [getattr(leaf, "weak_type", False) for leaf in jax.tree.leaves(tree)]


def test_weak_types_are_stripped_and_keys_stay():
    tree = {"number": 1.5, "flag": True, "weak": jnp.asarray(2), "wide": np.ones(2), "key": jax.random.key(3)}
    made = strong(tree)
    assert any(weak({"weak": tree["weak"]}))
    assert not any(weak(made))
    assert {name: leaf.dtype for name, leaf in made.items() if name != "key"} == {
        "number": jnp.result_type(float),
        "flag": jnp.dtype(bool),
        "weak": jnp.result_type(int),
        "wide": jnp.result_type(float),
    }
    assert made["key"] is tree["key"]


def test_types_may_be_those_of_another_tree():
    made = strong((1, 2.0), (jax.ShapeDtypeStruct((), jnp.int8), jnp.zeros((), jnp.float16)))
    assert [leaf.dtype for leaf in made] == [jnp.int8, jnp.float16]
    assert not any(weak(made))
