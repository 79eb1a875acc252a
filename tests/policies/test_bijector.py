import distrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax.policies import RealsToBox, gaussian
from helpers import assert_close, float32, lenient

pytestmark = pytest.mark.slow

_LOW, _HIGH = np.array([-1.0, 0.0, -3.0]), np.array([1.0, 10.0, -2.5])
_MU, _LOGVAR = np.random.default_rng(0).normal(size=(2, 4, 3))


def _to_box():
    return RealsToBox(_LOW, _HIGH)


def test_by_hand():
    to_box = RealsToBox(jnp.array([0.0]), jnp.array([4.0]))
    # σ(ln 3) = ¾, where dσ/dx = 3/16.
    action, log_det = to_box.forward_and_log_det(jnp.log(jnp.array([3.0])))
    assert_close(action, [3.0])
    assert_close(log_det, np.log(4 * 3 / 16))


def test_there_and_back():
    x = float32(np.random.default_rng(1).normal(size=(4, 3)) * 2)[0]
    to_box = _to_box()
    action, log_det = to_box.forward_and_log_det(x)
    again, back = to_box.inverse_and_log_det(action)
    assert_close(again, x, rtol=1e-4, atol=1e-4)
    assert_close(back, -np.asarray(log_det), rtol=1e-4, atol=1e-4)
    assert_close(to_box.forward(to_box.inverse(action)), action, rtol=1e-6, atol=1e-6)
    assert_close(to_box.forward_log_det_jacobian(x), log_det)


def test_log_det_is_that_of_the_jacobian():
    x = jnp.array([0.3, -1.0, 2.0])
    jacobian = np.asarray(jax.jacobian(_to_box().forward)(x), np.float64)
    assert_close(_to_box().forward_log_det_jacobian(x), np.linalg.slogdet(jacobian)[1])


def test_inverse_is_finite_at_the_bounds():
    for bound in float32(_LOW, _HIGH):
        for number in _to_box().inverse_and_log_det(bound):
            assert np.isfinite(number).all()


def test_makes_a_policy_on_the_box_that_integrates_to_one():
    nodes, weights = np.polynomial.legendre.leggauss(200)
    points = -1 + 5 * (nodes + 1) / 2
    with lenient():
        pi = distrax.Transformed(gaussian(*float32([0.5], [-0.5])), RealsToBox(jnp.array([-1.0]), jnp.array([4.0])))
        density = np.exp(np.asarray(pi.log_prob(float32(points)[0][:, None]), np.float64))
        sample, log_prob = pi.sample_and_log_prob(seed=jax.random.key(0), sample_shape=5)
        assert_close(pi.log_prob(sample), log_prob, rtol=1e-4, atol=1e-4)
    assert_close(weights @ density * 5 / 2, 1)


def test_passes_transforms_with_its_bounds():
    to_box, x = _to_box(), jnp.zeros((4, 3))
    expected = to_box.forward(x)
    for transform in (jax.jit, eqx.filter_jit):
        out, action = transform(lambda to_box: (to_box, to_box.forward(x)))(to_box)
        assert type(out) is RealsToBox
        np.testing.assert_array_equal(out.low, to_box.low)
        assert_close(action, expected)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), to_box)
    assert_close(jax.vmap(lambda to_box, x: to_box.forward(x))(many, x), expected)
    out, _ = jax.lax.scan(lambda to_box, _: (to_box, None), to_box, length=2)
    np.testing.assert_array_equal(out.high, to_box.high)
    slopes = eqx.filter_grad(lambda to_box: jnp.sum(to_box.forward(x)))(to_box)
    assert_close(slopes.low, [2, 2, 2])
    arrays, rest = eqx.partition(to_box, eqx.is_array)
    assert jax.tree.leaves(rest) == []
    assert_close(eqx.combine(arrays, rest).forward(x), expected)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(to_box)]
    assert paths == [".low", ".high"]


def test_divergence_needs_equal_bounds():
    pi, other = gaussian(*float32(_MU, _LOGVAR)), gaussian(*float32(_LOGVAR, _MU))
    with lenient():
        on_box, other_on_box = (distrax.Transformed(each, _to_box()) for each in (pi, other))
        assert_close(on_box.kl_divergence(other_on_box), pi.kl_divergence(other))
        wider = distrax.Transformed(other, RealsToBox(_LOW, _HIGH + 1))
        with pytest.raises(ValueError, match="RealsToBox: a divergence has a closed form only between equal bounds"):
            on_box.kl_divergence(wider)


def test_bad_bounds_are_refused_when_applied():
    for low, high in ((1.0, 0.0), (-np.inf, 0.0)):
        with pytest.raises(ValueError, match="reals_to_box"):
            RealsToBox(jnp.array([low]), jnp.array([high])).forward(jnp.zeros(1))
