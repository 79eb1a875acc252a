import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax._core import Distribution
from bellmax.policies import deterministic, gaussian
from helpers import assert_close, gradient

pytestmark = pytest.mark.slow


def test_samples_are_the_action_and_carry_its_gradient(getkey):
    action, key = jnp.array([[0.5, -1.0], [2.0, 0.0]]), getkey()
    pi = deterministic(action)
    assert isinstance(pi, Distribution)
    np.testing.assert_array_equal(pi.sample(seed=key, sample_shape=(3,)), np.tile(action, (3, 1, 1)))
    for same in (pi.mode(), pi.mean(), pi.median()):
        np.testing.assert_array_equal(same, action)
    assert_close(gradient(lambda action: deterministic(action).sample(seed=key) ** 2, action), 2 * action)
    assert_close(gradient(lambda action: deterministic(action).sample_and_log_prob(seed=key)[1], action), 0 * action)


def test_log_prob_is_that_of_an_atom():
    pi = deterministic(jnp.array([0.5, -1.0]))
    near = np.nextafter(np.float32(0.5), np.float32(1))
    found = pi.log_prob(jnp.array([[0.5, -1.0], [near, -1.0], [0.5, 1.0], [np.nan, -1.0]]))
    np.testing.assert_array_equal(found, [0, -np.inf, -np.inf, np.nan])
    assert np.isnan(deterministic(jnp.array([jnp.nan])).log_prob(jnp.zeros(1)))


def test_nothing_is_uncertain():
    pi = deterministic(jnp.ones((4, 2)))
    np.testing.assert_array_equal(pi.entropy(), np.zeros(4))
    np.testing.assert_array_equal(pi.variance(), np.zeros((4, 2)))
    np.testing.assert_array_equal(pi.stddev(), np.zeros((4, 2)))


def test_divergence_is_zero_or_infinite():
    pi, other = deterministic(jnp.zeros((2, 2))), deterministic(jnp.array([[0.0, 0.0], [0.0, 1.0]]))
    np.testing.assert_array_equal(pi.kl_divergence(other), [0, np.inf])
    with pytest.raises(NotImplementedError, match=r"DeterministicDistribution.*approximate_kl"):
        pi.kl_divergence(gaussian(jnp.zeros((2, 2)), jnp.zeros((2, 2))))


def test_passes_transforms():
    pi = deterministic(jnp.arange(8.0).reshape(4, 2))
    for transform in (jax.jit, eqx.filter_jit, jax.vmap, eqx.filter_vmap):
        out = transform(lambda pi: pi)(pi)
        assert type(out) is type(pi)
        np.testing.assert_array_equal(out.action, pi.action)
    out, _ = jax.lax.scan(lambda pi, _: (pi, None), pi, length=2)
    np.testing.assert_array_equal(out.action, pi.action)
    np.testing.assert_array_equal(pi[1:3].action, pi.action[1:3])


def test_actions_of_the_wrong_shape_are_refused():
    pi = deterministic(jnp.zeros((4, 2)))
    for wrong in (jnp.zeros(2), jnp.zeros((4, 1)), jnp.zeros((3, 2))):
        with pytest.raises(TypeError, match=r"DeterministicDistribution: actions must have shape"):
            pi.log_prob(wrong)
