"""Between the reals and a box: round trips, bounds, densities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad

from bellmax.transforms import box_to_reals, reals_to_box, reals_to_box_log_det
from helpers import assert_close

pytestmark = pytest.mark.slow

quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}
)
LOW, HIGH = np.array([-1.0, 0.0, 100.0], np.float32), np.array([1.0, 5.0, 101.0], np.float32)


def test_by_hand():
    # σ(ln 3) = 3/4; 2 + 4·3/4 = 5, and the slope is 4·(3/4)·(1/4) = 3/4
    log3 = np.log(3.0).astype(np.float32)
    assert_close(reals_to_box(log3, 2.0, 6.0), 5.0)
    assert_close(box_to_reals(5.0, 2.0, 6.0), log3)
    assert_close(reals_to_box_log_det(log3[None], 2.0, 6.0), np.log(0.75))


def test_round_trip_with_bounds_for_each_axis():
    rng = np.random.default_rng(0)
    share = np.concatenate([rng.uniform(0, 1, (50, 3)), [[0, 0, 0], [1, 1, 1], [1e-6, 1 - 1e-6, 0.5]]])
    action = np.clip(LOW + share * (HIGH - LOW), LOW, HIGH).astype(np.float32)
    back = quick(lambda a: reals_to_box(box_to_reals(a, LOW, HIGH), LOW, HIGH))(action)
    error = np.abs(np.asarray(back) - action) / (HIGH - LOW)
    assert (error < 1e-6 + np.spacing(HIGH)).all()
    x = np.linspace(-6, 6, 30).astype(np.float32)
    assert_close(quick(lambda x: box_to_reals(reals_to_box(x, -1, 1), -1, 1))(x), x, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_bounds_are_never_left_and_are_finite_seen_from_inside(dtype):
    x = jnp.concatenate([jnp.linspace(-200, 200, 401), jnp.array([-jnp.inf, jnp.inf])]).astype(dtype)
    there, back = quick(reals_to_box), quick(box_to_reals)
    for low, high in ((-1.0, 1.0), (0.1, 0.3), (-3.0, 7.0)):
        action = np.asarray(there(x, low, high))
        least, largest = (np.asarray(jnp.asarray(bound, dtype)) for bound in (low, high))
        assert (action >= least).all()
        assert (action <= largest).all()
        assert action[0] == least
        assert action[400] == largest
        ends = back(jnp.asarray(action), low, high)
        assert np.isfinite(np.asarray(ends, np.float32)).all()
        assert_close(ends[-1], -np.log(float(jnp.finfo(dtype).eps)), rtol=0.02)


def test_gradients_at_bounds_and_beyond():
    assert_close(quick(jax.vmap(jax.grad(lambda x: reals_to_box(x, -1.0, 1.0))))(jnp.array([-1e-9, 0.0, 1e-9])), 0.5)
    slope = quick(jax.vmap(jax.grad(lambda a: box_to_reals(a, -1.0, 1.0))))(jnp.array([-1.0, 1.0, -2.0, 2.0, 0.0]))
    assert np.isfinite(slope).all()
    assert_close(slope[2:], [0, 0, 2.0])  # 1/1 + 1/1
    by_bounds = quick(jax.grad(lambda low, high: reals_to_box(jnp.array(-50.0), low, high), (0, 1)))(-1.0, 1.0)
    assert_close(by_bounds, [1.0, 0.0])
    middle = quick(jax.grad(lambda low, high: box_to_reals(jnp.array(1.0), low, high), (0, 1)))(0.0, 4.0)
    assert_close(middle, [-1.0, -1 / 3])  # −1/(a − l), −1/(h − a)


def test_log_det_is_the_sum_of_the_log_slopes():
    x = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32) * 3
    slopes = quick(jax.vmap(jax.jacobian(lambda x: reals_to_box(x, LOW, HIGH))))(x)
    assert_close(
        quick(lambda x: reals_to_box_log_det(x, LOW, HIGH))(x),
        np.linalg.slogdet(np.asarray(slopes, np.float64))[1],
        rtol=1e-4,
    )


def test_a_normal_density_moved_into_the_box_integrates_to_one():
    with jax.enable_x64(True):

        def density(action, low, high):
            x = box_to_reals(jnp.asarray(action), low, high)
            normal = -0.5 * jnp.sum(((x - 0.3) / 1.2) ** 2 + jnp.log(2 * jnp.pi * 1.2**2), axis=-1)
            return jnp.exp(normal - reals_to_box_log_det(x, low, high))

        one = quick(lambda a: density(a[None], -2.0, 3.0))
        assert_close(quad(lambda a: float(one(jnp.asarray(a))), -2, 3)[0], 1, rtol=1e-6)
        low, high = np.array([-1.0, 0.0]), np.array([1.0, 0.5])
        nodes, weights = np.polynomial.legendre.leggauss(120)
        a, b = np.meshgrid(nodes, 0.25 + 0.25 * nodes, indexing="ij")
        total = np.sum(
            np.outer(weights, 0.25 * weights) * quick(lambda x: density(x, low, high))(np.stack([a, b], axis=-1))
        )
        assert_close(total, 1, rtol=1e-6)


def test_far_away_the_log_det_is_linear():
    assert_close(reals_to_box_log_det(jnp.array([200.0, -300.0]), 0, 1), -500.0)
    half = reals_to_box_log_det(jnp.array([1.0, 2.0], jnp.bfloat16), 0, 1)
    assert half.dtype == jnp.float32


@pytest.mark.parametrize("function", [reals_to_box, box_to_reals, reals_to_box_log_det])
def test_bounds_are_checked(function):
    x = jnp.zeros((2, 3))
    for low, high, message in (
        (-np.inf, 1.0, "low must be finite"),
        (LOW, np.array([1.0, np.inf, 200.0]), "high must be finite"),
        (1.0, 1.0, "high - low must be finite and above 0"),
        (LOW, HIGH[::-1].copy(), "high - low must be finite and above 0"),
        (-3e38, 3e38, "high - low must be finite and above 0"),
        (np.nan, 1.0, "low must be finite"),
    ):
        with pytest.raises(ValueError, match=f"{function.__name__}: {message}"):
            function(x, low, high)
    with pytest.raises(ValueError, match="high - low must be finite and above 0"):
        jax.jit(lambda x: function(x, 2.0, 1.0))(x)


def test_bounds_may_be_traced():
    x = jnp.ones((2, 3))
    assert_close(quick(reals_to_box)(x, LOW, HIGH), quick(lambda x: reals_to_box(x, LOW, HIGH))(x))
    swept = quick(jax.vmap(reals_to_box, (None, 0, 0)))(x, jnp.array([0.0, 1.0]), jnp.array([2.0, 3.0]))
    assert_close(swept[1], swept[0] + 1)
