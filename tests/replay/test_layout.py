"""Trees come out of rows of words bit for bit as they went in."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from bellmax.replay._layout import Layout

TYPES = (np.float32, np.int32, np.uint32, np.float16, ml_dtypes.bfloat16, np.int16, np.uint16, np.int8, np.uint8, bool)


@pytest.mark.parametrize("lead", [(3, 2), *(pytest.param(lead, marks=pytest.mark.slow) for lead in [(), (5,)])])
def test_every_type_and_shape_survives(lead):
    draws = np.random.default_rng(0)
    tree = {}
    for number, kind in enumerate(TYPES):
        for shape in ((), (3,), (2, 1, 3), (0,)):
            bits = draws.integers(0, 256, (*lead, *shape, np.dtype(kind).itemsize), np.uint8)
            value = (bits[..., 0] % 2 == 1) if kind is bool else bits.view(kind)[..., 0]
            tree[f"{number}{shape}"] = value
    layout = Layout.of({name: value[(0,) * len(lead)] for name, value in tree.items()})
    rows = jax.jit(layout.pack)(tree)
    assert (rows.shape, rows.dtype) == ((*lead, layout.words), jnp.uint32)
    found = jax.jit(layout.unpack)(rows)
    assert list(found) == sorted(tree)
    for name, value in tree.items():
        assert (found[name].shape, found[name].dtype) == (value.shape, value.dtype)
        assert np.asarray(found[name]).tobytes() == value.tobytes()  # a NaN's bits too


def test_only_large_and_only_small_leaves():
    for tree, words in ((jnp.zeros(3), 3), (jnp.ones(5, bool), 2), (None, 0)):
        layout = Layout.of(tree)
        assert layout.words == words
        if words:
            assert (layout.unpack(layout.pack(tree)) == tree).all()
