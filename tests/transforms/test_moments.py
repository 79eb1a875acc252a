"""Running moments against NumPy in double precision: large means, many examples, masks, devices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax._core import Counter
from bellmax.transforms import (
    init_ema_moments,
    init_moments,
    merge_moments,
    normalise,
    unnormalise,
    update_ema_moments,
    update_moments,
)
from helpers import assert_close, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
update = quick(update_moments)
update_ema = quick(update_ema_moments)
merge = quick(merge_moments)
normalised = quick(normalise)
SCALAR = jnp.zeros(())


def mean_of(moments):
    return np.asarray(moments.mean, np.float64) + np.asarray(moments.mean_rest, np.float64)


def variance_of(moments):
    return np.asarray(moments.variance, np.float64) + np.asarray(moments.variance_rest, np.float64)


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def test_by_hand():
    # 1, 3 | 8: mean 4, squares 9 + 1 + 16 = 26, variance 26/3
    moments = update(update(init_moments(SCALAR), jnp.array([1.0, 3.0])), jnp.array([8.0]))
    assert int(moments.count) == 3
    assert_close(mean_of(moments), 4)
    assert_close(variance_of(moments), 26 / 3)


def test_large_mean_small_spread_where_the_difference_of_moments_cancels():
    rng = np.random.default_rng(0)
    data = (1e4 + rng.normal(size=(40, 32, 3))).astype(np.float32)
    moments = init_moments(jnp.zeros(3))
    for batch in data:
        moments = update(moments, batch)
    rows = data.astype(np.float64).reshape(-1, 3)
    assert_close(mean_of(moments), rows.mean(0), rtol=0, atol=1e-6)
    assert_close(variance_of(moments), rows.var(0), rtol=1e-6)
    naive = np.mean(np.square(data), axis=(0, 1)) - np.square(np.mean(data, axis=(0, 1)))
    assert (np.abs(naive - rows.var(0)) > 0.1).any()


def test_first_batch_with_a_huge_offset():
    data = (1e6 + np.random.default_rng(1).integers(0, 8, (1000,)) / 4).astype(np.float32)
    moments = update(init_moments(SCALAR), data)
    assert_close(mean_of(moments), data.astype(np.float64).mean(), rtol=0, atol=1e-4)
    assert_close(variance_of(moments), data.astype(np.float64).var(), rtol=1e-5)


def test_goes_on_counting_after_a_billion():
    """From 10^9 examples, 3000 batches of 64 of another mean and spread: single words stop moving."""
    rng = np.random.default_rng(2)
    count, mean, variance = 10**9, 10.3, 1.7
    start = init_moments(SCALAR)
    start = type(start)(Counter.zero() + count, *(jnp.float32(x) for x in (mean, variance, 0.0, 0.0)))
    data = (10.8 + 2 * rng.normal(size=(3000, 64))).astype(np.float32)

    @jax.jit
    def run(moments, data):
        return jax.lax.scan(lambda moments, x: (update_moments(moments, x), None), moments, data)[0]

    @jax.jit
    def naive(mean, data):
        return jax.lax.scan(
            lambda carry, x: ((carry[0] + 64, carry[1] + 64 / (carry[0] + 64) * (x.mean() - carry[1])), None),
            (jnp.float32(count), mean),
            data,
        )[0][1]

    found = run(start, data)
    rows = data.astype(np.float64).ravel()
    mean, variance = float(np.float32(mean)), float(np.float32(variance))
    total = count + rows.size
    exact = mean + rows.size / total * (rows.mean() - mean)
    gap = count * rows.size / total**2 * (rows.mean() - mean) ** 2
    exact_variance = (count * variance + rows.size * rows.var()) / total + gap
    assert int(found.count) == total
    moved = exact - mean
    assert abs(mean_of(found) - exact) < 1e-4 * moved
    assert abs(variance_of(found) - exact_variance) < 1e-4 * abs(exact_variance - variance)
    assert abs(float(naive(jnp.float32(mean), data)) - exact) > 0.1 * moved


def test_count_goes_past_32_bits():
    moments = init_moments(SCALAR)
    moments = type(moments)(Counter.zero() + (2**32 - 1), *(jnp.float32(x) for x in (2.0, 1.0, 0.0, 0.0)))
    both = merge(update(moments, jnp.array([2.0])), moments)
    assert int(both.count) == 2**33 - 1
    assert_close(mean_of(both), 2.0)


def test_merging_equals_taking_all_at_once_in_any_order():
    rng = np.random.default_rng(3)
    a, b = (1e3 + rng.normal(size=(n, 2)).astype(np.float32) * s for n, s in ((5, 1), (300, 7)))
    start = init_moments(jnp.zeros(2))
    one, other = update(start, a), update(start, b)
    rows = np.concatenate([a, b]).astype(np.float64)
    for merged in (merge(one, other), merge(other, one)):
        assert int(merged.count) == 305
        assert_close(mean_of(merged), rows.mean(0), rtol=1e-10, atol=0)
        assert_close(variance_of(merged), rows.var(0), rtol=1e-6)
    for merged in (merge(one, start), merge(start, one)):
        same(merged, one)
    same(merge(start, start), start)


def test_any_number_of_batch_axes_and_trees():
    rng = np.random.default_rng(4)
    tree = {"a": rng.normal(size=(4, 5, 2)).astype(np.float32), "b": (rng.normal(size=(4, 5)).astype(np.float32),)}
    start = init_moments({"a": np.zeros(2), "b": (0.0,)})
    whole = update(start, tree)
    flat = update(start, jax.tree.map(lambda leaf: leaf.reshape(20, *leaf.shape[2:]), tree))
    one_by_one = start
    for i in range(20):
        one_by_one = update(one_by_one, jax.tree.map(lambda leaf, i=i: leaf.reshape(20, *leaf.shape[2:])[i], tree))
    for found in (whole, flat, one_by_one):
        assert int(found.count) == 20
        assert_close(found.mean["a"], tree["a"].astype(np.float64).mean((0, 1)), rtol=1e-6, atol=1e-6)
        assert_close(found.variance["b"][0], tree["b"][0].astype(np.float64).var(), rtol=1e-6)


def test_mask_drops_rows_and_nan_under_it():
    data = np.array([[1.0, 2.0], [np.nan, np.inf], [3.0, 6.0]], np.float32)
    start = init_moments(jnp.zeros(2))
    for mask in (np.array([True, False, True]), np.array([1.0, 0.0, 1.0], np.float32)):
        found = update(start, data, mask)
        assert int(found.count) == 2
        same(found, update(start, data[[0, 2]]))
    assert np.isnan(update(start, data).mean).all()  # a NaN that counts stays visible


def test_nothing_changes_nothing():
    some = update(init_moments(jnp.zeros(2)), np.random.default_rng(5).normal(size=(3, 2)).astype(np.float32))
    for start in (init_moments(jnp.zeros(2)), some):
        same(update(start, jnp.ones((3, 2)), jnp.zeros(3, bool)), start)
        same(update(start, jnp.full((3, 2), jnp.nan), jnp.zeros(3, bool)), start)
        same(update(start, jnp.ones((0, 2))), start)


@pytest.mark.parametrize("ema", [False, True])
def test_two_devices_equal_one_with_uneven_masks(ema):
    rng = np.random.default_rng(6)
    data = (50 + rng.normal(size=(2, 6, 3))).astype(np.float32)
    data[1, 4] = np.nan
    start = init_ema_moments(jnp.zeros(3)) if ema else init_moments(jnp.zeros(3))
    step = update_ema_moments if ema else update_moments
    alone = quick(step)
    spread_over = jax.pmap(
        lambda state, x, mask: step(state, x, mask, axis_name="devices"),
        "devices",
        in_axes=(None, 0, 0),
        devices=jax.local_devices()[:2],
    )
    before = alone(start, jnp.full((12, 3), 49.0), jnp.ones(12, bool))
    for mask in ([[1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0]], [[0] * 6, [1, 1, 0, 0, 0, 1]], [[0] * 6] * 2):
        mask = np.array(mask, bool)
        whole = alone(before, data.reshape(12, 3), mask.reshape(12))
        spread = spread_over(before, data, mask)
        for one, both in zip(jax.tree.leaves(whole), jax.tree.leaves(spread), strict=True):
            np.testing.assert_array_equal(both[0], both[1])
            assert_close(both[0], one, rtol=1e-6, atol=1e-6)


def test_integers_and_half_precision_are_counted_in_float32():
    pixels = np.random.default_rng(7).integers(0, 256, (9, 4), np.uint8)
    moments = update(init_moments(jnp.zeros(4, jnp.uint8)), pixels)
    assert moments.mean.dtype == jnp.float32
    assert_close(moments.mean, pixels.astype(np.float64).mean(0))
    assert_close(moments.variance, pixels.astype(np.float64).var(0))
    assert jax.eval_shape(normalise, moments, pixels).dtype == jnp.float32
    half = jnp.asarray(pixels, jnp.bfloat16)
    moments = update(init_moments(half[0]), half)
    assert moments.mean.dtype == jnp.float32
    assert jax.eval_shape(normalise, moments, half).dtype == jnp.bfloat16


def test_float64():
    with jax.enable_x64(True):
        data = 1e9 + np.random.default_rng(8).normal(size=(5, 100))
        moments = init_moments(jnp.zeros((), jnp.float64))
        step = quick(update_moments)
        for batch in data:
            moments = step(moments, batch)
        assert moments.mean.dtype == jnp.float64
        assert_close(moments.variance, data.var(), rtol=1e-9)


def test_moments_are_mapped_scanned_and_differentiated():
    data = jnp.asarray(np.random.default_rng(12).normal(size=(3, 5, 2)), jnp.float32)
    starts = jax.vmap(lambda _: init_moments(jnp.zeros(2)))(jnp.arange(3))
    mapped = quick(jax.vmap(update_moments))(starts, data)
    assert_close(mapped.variance, np.var(np.asarray(data, np.float64), axis=1))
    assert mapped.count.low.tolist() == [5, 5, 5]
    slope = quick(jax.grad(lambda x: update_moments(init_moments(SCALAR), x).variance))(jnp.array([1.0, 3.0]))
    assert_close(slope, [-1, 1])  # 2/n times the distance from the mean


def test_normalise_and_back():
    rng = np.random.default_rng(9)
    data = (1e4 + 3 * rng.normal(size=(500, 2))).astype(np.float32)
    moments = update(init_moments(jnp.zeros(2)), data)
    y = quick(lambda moments, data: normalise(moments, data, clip=None))(moments, data)
    assert_close(np.mean(np.asarray(y, np.float64), 0), 0, atol=1e-6)
    assert_close(np.std(np.asarray(y, np.float64), 0), 1, rtol=1e-4)
    assert_close(quick(unnormalise)(moments, y), data, rtol=1e-6)
    extreme = jnp.array([[1e9, -1e9], [jnp.nan, 1e4]])
    clipped = normalised(moments, extreme, clip=3.0)
    assert_close(clipped[0], [3, -3])
    assert np.isnan(clipped[1, 0])
    tree = normalised(init_moments({"a": 0.0}), {"a": jnp.array([5.0, 50.0])})
    assert_close(tree["a"], [5, 10])  # nothing counted: mean 0, variance 1, clipped at 10


def test_constant_features_normalise_to_zero():
    moments = update(init_moments(SCALAR), jnp.full(1000, 0.1))
    assert_close(normalised(moments, jnp.full(3, 0.1)), 0, atol=1e-3)


def test_without_epsilon_a_constant_feature_is_nan_at_its_mean_and_clipped_elsewhere():
    moments = update(init_moments(SCALAR), jnp.full(1000, 0.5))
    found = normalised(moments, jnp.array([0.5, 0.6, 0.4]), epsilon=0.0)
    np.testing.assert_array_equal(found, [np.nan, 10, -10])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: update_moments(m, jnp.ones((3, 4))), "needs the same batch axes before those of the moments"),
        (lambda m: update_moments(m, jnp.ones((3, 2)), jnp.ones(4, bool)), r"mask needs the batch axes .* \(3,\)"),
        (lambda m: update_moments(m, {"a": jnp.ones((3, 2))}), "cannot take examples of"),
        (lambda m: normalise(m, jnp.ones(2), clip=0.0), "normalise: clip must be above 0"),
        (lambda m: normalise(m, jnp.ones(2), epsilon=-1.0), "normalise: epsilon must be at least 0"),
        (lambda m: unnormalise(m, jnp.ones(2), epsilon=-1.0), "unnormalise: epsilon must be at least 0"),
        (lambda m: normalise(m, jnp.ones((5, 3))), r"normalise: the last axes .* \(2,\); got \(5, 3\)"),
        (lambda m: unnormalise(m, jnp.ones((5, 1))), r"unnormalise: the last axes must be .* got \(5, 1\)"),
        (lambda m: normalise(init_moments(jnp.zeros(1)), jnp.ones((5, 3))), r"the moments, \(1,\); got \(5, 3\)"),
        (lambda m: normalise(m, {"a": jnp.ones(2)}), r"normalise: moments of .* cannot take examples of .*'a'"),
        (lambda m: merge_moments(m, init_moments(SCALAR)), r"the same shapes; got \[\(2,\)\] and \[\(\)\]"),
        (lambda m: merge_moments(init_moments(jnp.zeros(1)), m), r"the same shapes; got \[\(1,\)\] and \[\(2,\)\]"),
        (lambda m: merge_moments(m, init_moments({"a": SCALAR})), "merge_moments: needs moments of one structure"),
    ],
)
def test_messages(call, message):
    with pytest.raises(ValueError, match=message):
        call(init_moments(jnp.zeros(2)))


# --- exponential moving moments ---------------------------------------------------------------------------------------


def test_ema_equals_weighted_moments_by_hand():
    rng = np.random.default_rng(10)
    data = rng.normal(size=(6, 4)) * 2 + 1
    moments = init_ema_moments(SCALAR)
    step = update_ema
    for batch in data.astype(np.float32):
        moments = step(moments, batch, decay=0.7)
    weights = np.repeat(0.3 * 0.7 ** np.arange(5, -1, -1.0), 4) / 4
    rows = data.ravel()
    mean = np.sum(weights * rows) / weights.sum()
    assert_close(moments.mean, mean)
    assert_close(moments.variance, np.sum(weights * (rows - mean) ** 2) / weights.sum())
    assert_close(moments.weight, weights.sum())


def test_ema_equals_rlax_near_zero_and_not_at_a_large_mean():
    rng = np.random.default_rng(11)
    init, step = rlax.create_ema(0.9)
    step = quick(step)
    for shift, agrees in ((0.0, True), (1e4, False)):
        data = (shift + rng.normal(size=(8, 16))).astype(np.float32)
        ours = init_ema_moments(SCALAR)
        with lenient():
            state = init(SCALAR)
            for batch in data:
                theirs, state = step(batch, state)
        for batch in data:
            ours = update_ema(ours, batch, decay=0.9)
        weights = 0.9 ** np.arange(7, -1, -1.0)
        weights /= weights.sum()
        rows = data.astype(np.float64)
        mean = weights @ rows.mean(1)
        variance = weights @ np.square(rows - mean).mean(1)
        assert_close(ours.mean, mean, rtol=1e-6)
        assert_close(ours.variance, variance, rtol=2e-3 if shift else 1e-5)
        assert np.allclose(theirs.variance, variance, rtol=1e-2) == agrees


def test_ema_steps_smaller_than_the_digits_of_the_mean_add_up():
    start = update_ema(init_ema_moments(SCALAR), jnp.full(1, 1e4), decay=0.0)
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 5000, lambda _, s: update_ema_moments(s, x, decay=0.9999), start))
    assert_close(mean_of(run(jnp.full(8, 1e4 + 0.5))) - 1e4, 0.5 * (1 - 0.9999**5000), rtol=1e-3)


def test_ema_edges():
    some, nothing = jnp.ones(2, bool), jnp.zeros(2, bool)
    one = update_ema(init_ema_moments(SCALAR), jnp.array([4.0, 6.0]), some, decay=0.999)
    assert_close([one.mean, one.variance], [5, 1])  # no bias: one batch, its own moments
    same(update_ema(one, jnp.ones(2), some, decay=1.0), one)
    same(update_ema(one, jnp.full(2, jnp.nan), nothing, decay=0.5), one)
    assert_close(update_ema(one, jnp.full(2, 7.0), some, decay=0.0).mean, 7)
    start = init_ema_moments(SCALAR)
    same(update_ema(start, jnp.ones(2), some, decay=1.0), start)
    assert_close(normalised(start, jnp.array([2.0])), [2.0])
    assert_close(normalised(one, jnp.array([7.0])), [2.0])
    with pytest.raises(ValueError, match=r"update_ema_moments: decay must be in \[0, 1\]; got 1.5"):
        update_ema_moments(one, jnp.ones(3), decay=1.5)
