import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bellmax._core import model_scan, reverse_scan
from helpers import assert_close


def test_reverse_scan_runs_from_the_end_and_keeps_the_order_of_time():
    def step(later, now):
        return later + now, later + now

    # Sums from the right, starting at 10.
    assert_close(reverse_scan(step, jnp.array(10.0), jnp.array([1.0, 2.0, 3.0])), [16, 15, 13])


def test_model_scan_carries_what_is_not_an_array():
    def step(carry, now):
        model, name, function, missing = carry
        assert name == "name"
        assert missing is None
        model = eqx.tree_at(lambda model: model.bias, model, function(model.bias + now))
        return (model, name, function, missing), model.bias.sum()

    model = eqx.nn.Linear(2, 2, key=jax.random.key(0))
    model = eqx.tree_at(lambda model: model.bias, model, jnp.zeros(2))
    first = (model, "name", jnp.negative, None)
    (last, name, function, missing), kept = model_scan(step, first, jnp.array([1.0, 2.0, 3.0]))
    # −1; −(−1 + 2) = −1; −(−1 + 3) = −2
    assert_close(kept, [-2, -2, -4])
    assert_close(last.bias, [-2, -2])
    np.testing.assert_array_equal(last.weight, model.weight)
    assert (name, function, missing) == ("name", jnp.negative, None)


def test_model_scan_equals_a_loop_under_jit():
    mlp = eqx.nn.MLP(2, 2, 4, 1, key=jax.random.key(0))

    def step(model, now):
        out = model(now)
        return jax.tree.map(lambda leaf: 0.9 * leaf if eqx.is_inexact_array(leaf) else leaf, model), out

    xs = jnp.ones((3, 2))
    _, kept = eqx.filter_jit(lambda model: model_scan(step, model, xs))(mlp)
    looped = []
    for x in xs:
        mlp, out = step(mlp, x)
        looped.append(out)
    assert_close(kept, jnp.stack(looped))
