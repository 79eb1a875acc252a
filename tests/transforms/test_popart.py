"""PopArt: outputs preserved, moments averaged by count, equal to rlax for one target an output."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from bellmax.transforms import (
    PopArt,
    init_popart,
    popart_normalise,
    popart_unnormalise,
    rescale_output,
    update_popart,
)
from helpers import assert_close, lenient

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
update = quick(update_popart)
rescale = quick(rescale_output)
ALL, FIRST = jnp.ones(4, bool), jnp.zeros(4, jnp.int32)


@quick
def update_one(state, targets, index=FIRST, mask=ALL, step_size=0.5, low=1e-4, high=1e6):
    """Four targets and every knob: compiled once for each number of outputs."""
    return update_popart(state, targets, index, mask, step_size=step_size, scale_low=low, scale_high=high)


def same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


def popart_loop(mean, second, targets, index, step_size, low=1e-4, high=1e6):
    """First and second moments by their own moving averages, in double precision, one output at a time."""
    mean, second = np.array(mean, np.float64), np.array(second, np.float64)
    for output in range(len(mean)):
        own = [float(t) for t, i in zip(np.ravel(targets), np.ravel(index), strict=True) if i == output]
        if own:
            mean[output] += step_size * (np.mean(own) - mean[output])
            second[output] += step_size * (np.mean(np.square(own)) - second[output])
    return mean, second, np.clip(np.sqrt(second - mean**2), low, high)


def test_equals_the_moving_averages_of_both_moments():
    rng = np.random.default_rng(0)
    state, mean, second = init_popart(3), np.zeros(3), np.ones(3)
    for _ in range(5):
        targets = (10 * rng.normal(size=4) + 5).astype(np.float32)
        index = rng.integers(0, 2, 4).astype(np.int32)
        state = update_one(state, targets, index, step_size=0.1)
        mean, second, scale = popart_loop(mean, second, targets, index, 0.1)
    assert_close(state.mean, mean)
    assert_close(state.scale, scale)
    assert_close([state.mean[2], state.variance[2], state.scale[2]], [0, 1, 1])  # no targets


def test_three_equal_targets_are_one_step_where_rlax_takes_three():
    # 0 + 0.5·(10 − 0) = 5; summed, as rlax does: 15
    targets, index = jnp.full(3, 10.0), jnp.zeros(3, jnp.int32)
    state = update(init_popart(1), targets, step_size=0.5)
    assert_close(state.mean, [5])
    with lenient():
        init, step = rlax.popart(1, 0.5, 1e-4, 1e6)
        layer = {"w": jnp.ones((2, 1)), "b": jnp.zeros(1)}
        _, theirs = quick(step)(layer, init(), targets, index)
    assert_close(theirs.shift, [15])


def test_equals_rlax_with_one_target_an_output():
    rng = np.random.default_rng(1)
    weight, bias = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    state, index = init_popart(3), jnp.array([2, 0, 1], jnp.int32)
    with lenient():
        init, step = rlax.popart(3, 0.2, 1e-4, 1e6)
        step = quick(step)
        theirs, layer = init(), {"w": jnp.asarray(weight.T), "b": jnp.asarray(bias)}
    for _ in range(3):
        targets = jnp.asarray(3 * rng.normal(size=3) + 1, jnp.float32)
        new = update(state, targets, index, step_size=0.2)
        weight, bias = rescale(weight, bias, state, new)
        state = new
        with lenient():
            layer, theirs = step(layer, theirs, targets, index)
    assert_close(state.mean, theirs.shift)
    assert_close(state.scale, theirs.scale)
    assert_close(weight, layer["w"].T, rtol=1e-4)
    assert_close(bias, layer["b"], rtol=1e-4)
    values = jnp.array([0.5, -1.0, 2.0])
    with lenient():
        for ours, rival in ((popart_normalise, rlax.normalize), (popart_unnormalise, rlax.unnormalize)):
            assert_close(quick(ours)(state, values, index), quick(rival)(theirs, values, index))


def test_outputs_are_preserved_precisely():
    rng = np.random.default_rng(2)
    weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((3, 4), (3,)))
    x = rng.normal(size=(6, 4)).astype(np.float32)
    index = jnp.broadcast_to(jnp.arange(3), (6, 3))
    old = PopArt(jnp.array([0.0, 5.0, -3.0]), jnp.ones(3), jnp.array([1.0, 100.0, 0.1]), jnp.zeros(3))
    new = update(old, jnp.array([1e3, 7.0, -50.0]), jnp.arange(3), step_size=0.3)
    new_weight, new_bias = rescale(weight, bias, old, new)

    unnormalise = quick(popart_unnormalise)

    def outputs(weight, bias, state):
        return unnormalise(state, jnp.asarray(x @ np.asarray(weight).T + np.asarray(bias)), index)

    assert_close(outputs(new_weight, new_bias, new), outputs(weight, bias, old), rtol=1e-5, atol=1e-3)
    assert (np.abs(np.asarray(new.scale) - np.asarray(old.scale)) > 1e-3).all()


def test_large_mean_small_spread():
    # 1e4 ± 1: the spread stays 1, where the difference of second moment and squared mean is lost in float32.
    rng = np.random.default_rng(3)
    state = init_popart(1)
    data = (1e4 + rng.choice([-1.0, 1.0], (600, 16))).astype(np.float32)
    state, _ = jax.lax.scan(lambda state, x: (update_popart(state, x, step_size=0.05), None), state, data)
    assert_close(state.mean, [1e4], rtol=1e-4)
    assert_close(state.scale, [1], rtol=0.05)


def test_steps_smaller_than_the_digits_of_the_mean_add_up():
    # A step of 1e-4·(0.5) on 1e4, a twentieth of its last digit; after 5000 steps the mean is 0.5·e^{−0.5} away.
    start = PopArt(jnp.array([1e4]), jnp.ones(1), jnp.ones(1), jnp.zeros(1))
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 5000, lambda _, s: update_popart(s, x, step_size=1e-4), start))
    state = run(jnp.full(8, 1e4 + 0.5))
    assert_close(float(state.mean[0]) - 1e4 + float(state.mean_rest[0]), 0.5 * (1 - (1 - 1e-4) ** 5000), rtol=1e-4)
    assert_close(quick(popart_normalise)(state, 1e4 + 0.5), 0.5 * (1 - 1e-4) ** 5000 / float(state.scale[0]), rtol=1e-3)


def test_scale_stays_in_its_bounds_and_gradients_finite():
    constant = update_one(init_popart(1), jnp.full(4, 3.0), step_size=1.0, low=0.01)
    assert_close([constant.mean[0], constant.variance[0], constant.scale[0]], [3, 0, 0.01])
    wide = update_one(init_popart(1), jnp.array([-1e9, 1e9, -1e9, 1e9]), step_size=1.0, high=1e3)
    assert_close(wide.scale, [1e3])
    slope = quick(jax.grad(lambda x: update_popart(init_popart(1), x, step_size=1.0).scale.sum()))(jnp.full(4, 3.0))
    assert np.isfinite(slope).all()


def test_masks_and_wrong_indices_count_for_nothing():
    state = init_popart(3)
    targets, index = jnp.array([4.0, jnp.nan, 6.0, 8.0]), jnp.array([0, 0, 5, -1], jnp.int32)
    found = update_one(state, targets, index, jnp.array([True, False, True, True]))
    assert_close(found.mean, [2, 0, 0])
    same(update_one(state, targets, index, jnp.zeros(4, bool)), state)
    assert jnp.isnan(popart_normalise(state, jnp.array([1.0]), jnp.array([3]))).all()


def test_two_devices_equal_one_with_unequal_counts():
    rng = np.random.default_rng(4)
    targets = rng.normal(size=(2, 8)).astype(np.float32)
    index = np.array([[0] * 7 + [1], [1, 1, 2, 2, 2, 2, 0, 1]], np.int32)
    mask = rng.uniform(size=(2, 8)) < 0.7
    whole = update(init_popart(3), targets, index, mask, step_size=0.3)
    spread = jax.pmap(
        lambda *args: update_popart(init_popart(3), *args, step_size=0.3, axis_name="devices"),
        "devices",
        devices=jax.local_devices()[:2],
    )(targets, index, mask)
    for one, both in zip(jax.tree.leaves(whole), jax.tree.leaves(spread), strict=True):
        np.testing.assert_array_equal(both[0], both[1])
        assert_close(both[0], one, rtol=1e-6, atol=1e-6)


def test_messages():
    with pytest.raises(ValueError, match="update_popart: index says which of the 2 outputs each value belongs to"):
        update_popart(init_popart(2), jnp.ones(3))
    with pytest.raises(ValueError, match="popart_normalise: index says which of the 2 outputs"):
        popart_normalise(init_popart(2), jnp.ones(3))
    for knobs, message in (
        ({"step_size": 1.5}, r"step_size must be in \[0, 1\]; got 1.5"),
        ({"scale_low": 0.0}, "scale_low must be above 0"),
        ({"scale_high": -1.0}, "scale_high at least scale_low"),
        ({"scale_low": 2.0, "scale_high": 1.0}, r"scale_high at least scale_low; got \[2. 1.\]"),
    ):
        with pytest.raises(ValueError, match=f"update_popart: .*{message}"):
            update_popart(init_popart(1), jnp.ones(3), **knobs)


@pytest.mark.parametrize(("old", "new"), [(1, 1), (1, 3), (3, 1), (2, 3)])
def test_states_of_other_layers_are_refused(old, new):
    states = init_popart(old), init_popart(new)
    with pytest.raises(ValueError, match=rf"the layer has 3 outputs; got states of \(\({old},\), \({new},\)\)"):
        rescale_output(jnp.ones((3, 2)), jnp.ones(3), *states)


def test_half_precision_keeps_the_digits_of_the_moments():
    # 1003 is not a bfloat16: rounded to 1004 first, the difference would be −4.
    state = PopArt(jnp.array([1003.0]), jnp.ones(1), jnp.ones(1), jnp.zeros(1))
    assert_close(popart_normalise(state, jnp.array(1000.0, jnp.bfloat16)), -3)
