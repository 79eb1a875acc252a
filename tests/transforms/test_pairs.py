"""Pairs undo themselves, keep order, and are arguments of jitted functions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.transforms import (
    ValueTransform,
    affine_transform,
    arcsinh_transform,
    compose_transforms,
    discount_transform,
    hyperbolic_transform,
    identity_transform,
    log_transform,
    power_transform,
    symlog_transform,
)
from helpers import CountedTraces, assert_close, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
SIZES = np.geomspace(1e-6, 1e6, 61)
X = jnp.asarray(np.concatenate([-SIZES[::-1], [0.0], SIZES]), jnp.float32)

PAIRS = {
    "identity": identity_transform(),
    "hyperbolic": hyperbolic_transform(),
    "hyperbolic 0": hyperbolic_transform(0.0),
    "symlog": symlog_transform(),
    "log": log_transform(10.0),
    "affine": affine_transform(0.25, 0.0),
    "arcsinh": arcsinh_transform(),
    "power": power_transform(0.5),
    "composed": compose_transforms(affine_transform(0.01), hyperbolic_transform(), symlog_transform()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_undoes_itself_keeps_order_and_has_slopes(name):
    pair = PAIRS[name]

    @quick
    def law(x):
        y = pair.apply(x)
        slopes = [jax.grad(lambda x, each=each: each(x).sum())(at) for each, at in ((pair.apply, x), (pair.invert, y))]
        return y, pair.invert(y), slopes

    y, back, (forth_slope, back_slope) = law(X)
    # Digits of the value that remain in its logarithm: ln(1e6) of them are lost.
    np.testing.assert_allclose(back, X, rtol=1e-5)
    assert (np.diff(y) > 0).all()
    for slope in (forth_slope, back_slope):
        assert np.isfinite(slope).all()
        assert (np.asarray(slope) > 0).all()
    np.testing.assert_allclose(np.asarray(forth_slope) * np.asarray(back_slope), 1, rtol=1e-4)


def test_discounts_are_stretched_and_come_back():
    x = jnp.array([0.0, 1e-6, 0.5, 0.99, 0.999])
    pair = discount_transform()
    assert_close(pair.invert(pair.apply(x)), x, rtol=1e-6, atol=1e-9)
    assert_close(pair.apply(x), -np.log1p(-np.asarray(x, np.float64)), rtol=1e-6, atol=1e-12)
    assert pair.apply(jnp.ones(())) == jnp.inf


def test_by_hand():
    assert_close(affine_transform(2.0, 1.0).apply(jnp.array(3.0)), 7.0)
    assert_close(log_transform(2.0).apply(jnp.array(-2.0)), -2 * np.log(2))
    assert_close(arcsinh_transform().invert(jnp.array(1.0)), np.sinh(1.0))
    assert_close(power_transform(4.0).apply(jnp.array(2.0)), 7.5)
    # The first is applied first: (3 + 1)·2 = 8
    assert_close(compose_transforms(affine_transform(1, 1), affine_transform(2)).apply(jnp.array(3.0)), 8.0)
    assert_close(compose_transforms().apply(jnp.array(3.0)), 3.0)


def test_equal_rlax():
    x = jnp.asarray(np.random.default_rng(0).normal(size=20) * 5, jnp.float32)
    shares = jnp.linspace(0, 0.95, 9)
    with lenient():
        for ours, theirs, at in (
            (identity_transform(), rlax.IDENTITY_PAIR, x),
            (hyperbolic_transform(), rlax.SIGNED_HYPERBOLIC_PAIR, x),
            (symlog_transform(), rlax.SIGNED_LOGP1_PAIR, x),
            (arcsinh_transform(), rlax.HYPERBOLIC_SIN_PAIR, x),
            (discount_transform(), rlax.DISCOUNT_TRANSFORM_PAIR, shares),
            (
                compose_transforms(hyperbolic_transform(), symlog_transform()),
                rlax.compose_tx(rlax.SIGNED_HYPERBOLIC_PAIR, rlax.SIGNED_LOGP1_PAIR),
                x,
            ),
        ):
            one, other = quick(
                lambda at, ours=ours, theirs=theirs: [[pair[0](at), pair[1](at)] for pair in (ours, theirs)]
            )(at)
            assert_close(one[0], other[0], rtol=1e-5, atol=1e-6)
            assert_close(one[1], other[1], rtol=1e-3, atol=1e-3)


def test_a_pair_is_an_argument_of_jit_and_of_vmap():
    counted = CountedTraces(lambda pair, x: pair.invert(pair.apply(x) + 1))
    jitted = quick(counted)
    for scale in (2.0, 4.0):
        # (x s + 1)/s = x + 1/s
        assert_close(jitted(affine_transform(jnp.float32(scale)), jnp.ones(3)), 1 + 1 / scale)
    assert counted.count == 1
    swept = quick(jax.vmap(lambda eps: hyperbolic_transform(eps).apply(jnp.array(8.0))))(jnp.array([0.0, 0.5]))
    assert_close(swept, [2.0, 6.0])


def test_plain_functions_compose_too():
    pair = compose_transforms(ValueTransform(jnp.negative, jnp.negative), affine_transform(2.0, 1.0))
    assert_close(jax.jit(lambda pair, x: pair.apply(x))(pair, jnp.array(3.0)), -5.0)
    assert_close(pair.invert(jnp.array(-5.0)), 3.0)


def test_types_are_kept():
    for pair in PAIRS.values():
        x = jnp.array([0.5, -2.0], jnp.bfloat16)
        assert jax.eval_shape(pair.apply, x).dtype == jax.eval_shape(pair.invert, x).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("constructor", "value", "message"),
    [
        (hyperbolic_transform, -1e-3, "hyperbolic_transform: eps must be at least 0; got -0.001"),
        (log_transform, 0.0, "log_transform: scale must be above 0; got 0.0"),
        (affine_transform, -1.0, "affine_transform: scale must be above 0; got -1.0"),
        (power_transform, 0, "power_transform: p must be above 0; got 0"),
    ],
)
def test_knobs_outside_their_range_are_refused(constructor, value, message):
    with pytest.raises(ValueError, match=message):
        constructor(value)


@pytest.mark.parametrize("thing", [1.0, (jnp.negative, jnp.negative), symlog_transform])
def test_what_is_no_pair_is_refused_by_name(thing):
    with pytest.raises(
        TypeError, match=r"compose_transforms: takes pairs, ValueTransform\(apply, invert\); got ."
    ) as found:
        compose_transforms(identity_transform(), thing)
    assert repr(thing) in str(found.value)
