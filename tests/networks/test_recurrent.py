"""Networks with memory: one step by hand, many steps as one after the other, and nothing kept over a start."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax.networks import Recurrent, RecurrentNetwork
from training.laws import fast_jit

CELLS = ["gru", "lstm"]
STARTS = np.array([False, False, True, False, True, True])
SPACE = kinds.Dict({"place": kinds.Discrete(3), "speed": kinds.Box(-1.0, 1.0, (2,), np.float32)})


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_long_short_term_memory_by_hand():
    core = Recurrent(2, 3, "lstm", key=jax.random.key(0))
    features, hidden, cell = np.array([0.3, -0.2]), np.array([0.1, 0.2, -0.3]), np.array([0.5, -1.0, 2.0])
    weights = [np.asarray(leaf, np.float64) for leaf in (core.cell.weight_ih, core.cell.weight_hh, core.cell.bias)]
    i, f, g, o = np.split(weights[0] @ features + weights[1] @ hidden + weights[2], 4)
    wanted_cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    wanted = sigmoid(o) * np.tanh(wanted_cell)
    output, memory = core(jnp.asarray(features, float), (jnp.asarray(hidden, float), jnp.asarray(cell, float)))
    for found in (output, memory[0]):
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(memory[1], wanted_cell, atol=1e-6)


def network(cell, **settings):
    settings = {"memory_size": 4, "hidden_sizes": (5,), "cell": cell} | settings
    return RecurrentNetwork(SPACE, 2, **settings, key=jax.random.key(1))


def observations():
    draw = np.random.default_rng(0)
    return {
        "place": jnp.asarray(draw.integers(0, 3, 6), jnp.int32),
        "speed": jnp.asarray(draw.normal(size=(6, 2)), jnp.float32),
    }


@pytest.mark.parametrize(
    "settings",
    [pytest.param({}, id="plain", marks=pytest.mark.slow), pytest.param({"input_sizes": (6, 3)}, id="layers-before")],
)
@pytest.mark.parametrize("cell", CELLS)
def test_unrolled_steps_are_single_steps_with_the_memory_set_back(cell, settings):
    net, seen = network(cell, **settings), observations()
    before = jax.tree.map(lambda leaf: leaf + 0.7, net.initial())
    outputs, memories = fast_jit(lambda *args: net.unroll(*args))(seen, before, jnp.asarray(STARTS))
    step, memory = fast_jit(lambda *args: net(*args)), before
    for time in range(6):
        memory = net.initial() if STARTS[time] else memory
        output, memory = step(jax.tree.map(lambda leaf, time=time: leaf[time], seen), memory)
        np.testing.assert_allclose(outputs[time], output, atol=1e-6)
        for one, unrolled in zip(jax.tree.leaves(memory), jax.tree.leaves(memories), strict=True):
            np.testing.assert_allclose(unrolled[time], one, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_nothing_is_kept_over_a_start(cell):
    net, seen = network(cell), observations()

    def later(speed, memory):
        # The outputs from the first start on.
        return net.unroll(seen | {"speed": speed}, memory, jnp.asarray(STARTS))[0][2:].sum()

    slope, memory_slope = fast_jit(jax.grad(later, argnums=(0, 1)))(seen["speed"], net.initial())
    assert (np.asarray(slope)[:2] == 0).all()
    assert (np.asarray(slope)[2:] != 0).any(axis=1).all()
    assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(memory_slope))


def test_memory_before_the_first_step_counts_without_a_start():
    net, seen = network("gru"), observations()
    first = [net.unroll(seen, memory, jnp.zeros(6, bool))[0][0] for memory in (net.initial(), net.initial() + 1)]
    assert (first[0] != first[1]).any()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="cell must be one of gru, lstm; got 'rnn'"):
        Recurrent(2, 3, "rnn", key=jax.random.key(0))
    with pytest.raises(ValueError, match="inputs and size must be at least 1; got 2 and 0"):
        Recurrent(2, 0, key=jax.random.key(0))


def test_parts_are_drawn_by_keys_of_their_own():
    net = network("gru", input_sizes=(4,), hidden_sizes=(4, 4))
    weights = [leaf.ravel() for leaf in jax.tree.leaves(eqx.filter(net, eqx.is_inexact_array)) if leaf.ndim == 2]
    square = [net.core.cell.weight_hh[:4].ravel(), *(layer.weight.ravel() for layer in net.after.layers[:2])]
    assert len(weights) == 6
    assert all((one != other).any() for i, one in enumerate(square) for other in square[:i])
