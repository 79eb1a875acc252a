import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bellmax.networks import CategoricalMean, EveryAction, QuantileMean
from helpers import assert_close, float32

_LOGITS = np.random.default_rng(0).normal(size=(4, 3))
_ATOMS = np.array([-1.0, 0.0, 5.0])


class _Table(eqx.Module):
    values: jax.Array

    def __call__(self, observation):
        return self.values * observation


def test_mean_over_atoms_by_hand():
    # Weights 1, 1 and 2: −¼ + 0 + 5/2.
    q = CategoricalMean(lambda s: jnp.log(jnp.array([[1.0, 1.0, 2.0]])), *float32(_ATOMS))
    assert_close(q(None), [2.25])


@pytest.mark.slow
def test_mean_over_atoms_equals_numpy_and_moves_no_atom():
    q = CategoricalMean(_Table(*float32(_LOGITS)), *float32(_ATOMS))
    assert_close(q(jnp.float32(1)), special.softmax(_LOGITS, axis=-1) @ _ATOMS)
    slope = eqx.filter_grad(lambda q: jnp.sum(q(jnp.float32(1))))(q)
    assert (np.asarray(slope.atoms) == 0).all()
    assert (np.asarray(slope.network.values) != 0).all()


def test_an_atom_of_probability_zero_adds_nothing():
    q = CategoricalMean(lambda s: jnp.array([0.0, -jnp.inf, 0.0]), jnp.array([1.0, jnp.inf, 3.0]))
    assert_close(q(None), 2)


def test_mean_over_quantiles_by_hand():
    q = QuantileMean(lambda s: jnp.array([[1.0, 2.0, 6.0], [0.0, -3.0, 0.0]]))
    assert_close(q(None), [3, -1])


def test_means_are_float32_so_that_half_precision_makes_no_ties():
    logits = jnp.array([[0.0, 0.0], [0.0, 2.0**-9]], jnp.bfloat16)
    q = CategoricalMean(lambda s: logits, jnp.array([90.0, 110.0]))(None)
    assert q.dtype == jnp.float32
    assert q[1] > q[0]
    q = QuantileMean(lambda s: jnp.array([[100.0, 100.0], [100.0, 100.5]], jnp.bfloat16))(None)
    assert q.dtype == jnp.float32
    assert_close(q, [100, 100.25])


def test_every_action_asks_the_network_once_an_action():
    weights = jnp.arange(3.0)
    q = EveryAction(lambda s, action: jnp.dot(action, weights) + s["x"], 3)
    assert_close(q({"x": jnp.float32(10)}), [10, 11, 12])
    assert_close(jax.vmap(q)({"x": jnp.array([0.0, 1.0])}), [[0, 1, 2], [1, 2, 3]])


def test_every_action_over_a_mean_over_atoms():
    (logits,) = float32(_LOGITS)
    atoms = jnp.asarray(_ATOMS, jnp.float32)
    one = CategoricalMean(lambda s, action: action @ logits, atoms)
    assert_close(EveryAction(one, 4)(None), CategoricalMean(lambda s: logits, atoms)(None))


def test_mistakes_are_named():
    for make in (lambda x: CategoricalMean(x, jnp.zeros(3)), QuantileMean, lambda x: EveryAction(x, 3)):
        with pytest.raises(TypeError, match="network must be a function of observations; got 3"):
            make(3)
    with pytest.raises(TypeError, match=r"CategoricalMean: one logit for each of \(3,\) atoms; got \(4, 2\)"):
        CategoricalMean(lambda s: jnp.zeros((4, 2)), *float32(_ATOMS))(None)
    with pytest.raises(TypeError, match=r"EveryAction: the network must return one number an action; got shape \(1,\)"):
        EveryAction(lambda s, action: action[:1], 3)(None)
