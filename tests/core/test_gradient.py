import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bellmax._core import gradient_step, init_optimiser, value_and_grad, value_and_grad_in_blocks
from helpers import assert_close, check_gradient_step_skips, lenient


class _Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    count: jax.Array
    activation: object = jnp.tanh

    def __call__(self, x):
        return self.activation(x @ self.weight + self.bias)


def _model():
    return _Model(jnp.array([0.5, -1.0, 0.25]), jnp.array(0.1), jnp.array(3))


def _data(rows):
    rng = np.random.default_rng(0)
    return {
        "x": jnp.asarray(rng.normal(size=(rows, 3)), jnp.float32),
        "y": jnp.asarray(rng.normal(size=rows), jnp.float32),
    }


def _loss(model, data):
    error = jax.vmap(model)(data["x"]) - data["y"]
    return jnp.mean(jnp.square(error)), {"error": jnp.mean(jnp.abs(error))}


def _assert_trees_close(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for leaf, other in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        if not eqx.is_array(leaf):
            assert leaf is other
            continue
        assert leaf.dtype == other.dtype
        assert_close(leaf, other)


def test_value_and_grad_gives_loss_auxiliary_and_a_gradient_of_floating_point_leaves():
    (loss, auxiliary), slope = value_and_grad(_loss)(_model(), _data(8))
    assert_close(loss, _loss(_model(), _data(8))[0])
    assert set(auxiliary) == {"error"}
    assert slope.count is None
    step = 1e-3
    moved = eqx.tree_at(lambda model: model.bias, _model(), _model().bias + step)
    assert_close(slope.bias, (_loss(moved, _data(8))[0] - loss) / step, rtol=0.02, atol=0.02)


def test_gradient_across_an_axis_is_that_of_the_full_batch():
    data = _data(8)
    cut = jax.tree.map(lambda leaf: leaf.reshape(4, 2, *leaf.shape[1:]), data)
    _, full = value_and_grad(_loss)(_model(), data)
    for maker in (value_and_grad, value_and_grad_in_blocks):
        (losses, _), slopes = jax.vmap(
            lambda data, maker=maker: maker(_loss, "devices")(_model(), data), axis_name="devices"
        )(cut)
        for device in range(4):
            _assert_trees_close(jax.tree.map(lambda leaf, device=device: leaf[device], slopes), full)
        assert_close(losses.mean(), _loss(_model(), data)[0])
        # The loss stays this device's own.
        assert not np.allclose(losses, losses[0])


@pytest.mark.slow
@pytest.mark.parametrize("rows", [600, 512, 100, 769])
def test_gradient_in_blocks_is_that_of_the_whole(rows):
    whole = value_and_grad(_loss)(_model(), _data(rows))
    blocks = jax.jit(lambda data: value_and_grad_in_blocks(_loss)(_model(), data))(_data(rows))
    _assert_trees_close(blocks, whole)


def test_a_large_batch_is_cut_and_a_small_one_is_not():
    def scans(rows):
        closed = jax.make_jaxpr(lambda data: value_and_grad_in_blocks(_loss)(_model(), data))(_data(rows))
        return [equation.params["length"] for equation in closed.eqns if equation.primitive.name == "scan"]

    # Blocks are equal and at least 256 rows; 769 has no divisor that allows it.
    expected = {100: [], 511: [], 512: [2], 600: [2], 1024: [4], 769: []}
    if jax.default_backend() == "cpu":
        assert {rows: scans(rows) for rows in expected} == expected


def test_a_step_of_plain_descent_is_parameters_minus_rate_times_gradient():
    model, optimiser = _model(), optax.identity()
    _, slope = value_and_grad(_loss)(model, _data(8))
    moved, _, metrics = gradient_step(model, slope, optimiser, init_optimiser(model, optimiser), 0.1)
    assert_close(moved.weight, model.weight - 0.1 * slope.weight, rtol=1e-6, atol=1e-7)
    assert_close(moved.bias, model.bias - 0.1 * slope.bias, rtol=1e-6, atol=1e-7)
    assert moved.count == 3
    assert moved.activation is model.activation
    norm = np.sqrt(np.sum(np.square(slope.weight)) + np.square(slope.bias))
    assert_close(metrics["gradient_norm"], norm)
    assert metrics["skipped"] == 0


def test_a_step_of_adam_is_that_of_optax_on_the_tree():
    model, optimiser = _model(), optax.chain(optax.clip_by_global_norm(0.5), optax.scale_by_adam())
    parameters, rest = eqx.partition(model, eqx.is_inexact_array)
    state, flat_state = optimiser.init(parameters), init_optimiser(model, optimiser)
    for _ in range(3):
        _, slope = value_and_grad(_loss)(model, _data(8))
        with lenient():
            updates, state = optimiser.update(slope, state, parameters)
        parameters = jax.tree.map(lambda parameter, update: parameter - 0.1 * update, parameters, updates)
        with lenient():
            model, flat_state, _ = gradient_step(model, slope, optimiser, flat_state, jnp.float32(0.1))
        _assert_trees_close(model, eqx.combine(parameters, rest))


def test_a_gradient_that_is_not_finite_is_skipped_and_leaves_everything_bit_for_bit():
    with lenient():  # Adam itself raises a float to an integer power
        check_gradient_step_skips(gradient_step)


def test_learning_goes_on_after_a_skipped_step():
    model, optimiser = _model(), optax.scale_by_adam()
    state = init_optimiser(model, optimiser)
    _, slope = value_and_grad(_loss)(model, _data(8))
    poisoned = jax.tree.map(lambda leaf: leaf * jnp.nan, slope)
    step = eqx.filter_jit(lambda slope, state: gradient_step(model, slope, optimiser, state, 0.1))
    with lenient():
        _, after, _ = step(poisoned, state)
        _assert_trees_close(step(slope, after)[0], step(slope, state)[0])


def test_a_step_warns_of_nothing():
    model, optimiser = _model(), optax.identity()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gradient_step(model, eqx.filter(model, eqx.is_inexact_array), optimiser, init_optimiser(model, optimiser), 0.1)
    assert not caught


@pytest.mark.parametrize("differentiate", [value_and_grad, value_and_grad_in_blocks])
def test_gradient_of_a_loss_that_is_nan_is_not_finite(differentiate):
    def loss(model, data):
        clipped = jnp.clip(jax.vmap(model)(data["x"]) - data["y"], -1, 1)  # its slope beyond the clip is 0, or 1
        return jnp.mean(jnp.where(jnp.isnan(data["y"]), jnp.nan, jnp.abs(clipped))), {}

    data = _data(512)
    (_, _), slope = differentiate(loss)(_model(), data)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
    data["y"] = data["y"].at[7].set(jnp.nan)
    plain = jax.tree.leaves(eqx.filter_grad(lambda model: loss(model, data)[0])(_model()))
    assert all(np.isfinite(leaf).all() for leaf in plain)
    (_, _), slope = differentiate(loss)(_model(), data)
    assert not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))
