"""Losses that couple their examples: devices together give what one gives, also where one has no example at all."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import losses
from bellmax.losses._weights import exponential_weights, temperature_dual
from faults import plant
from helpers import assert_close, float32

pytestmark = pytest.mark.slow

# Compiled fast, run once.
quick = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)

_MASKS = jnp.array([[1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 1, 1, 0, 0, 1, 0]], bool)


def _vmpo(vmpo_loss):
    def loss(x, advantage, action, data, knob, **how):
        both = vmpo_loss(x, advantage, knob, epsilon=0.1, **how)
        return both.policy + both.temperature

    return loss


def _awac(awac_loss):
    return lambda x, advantage, action, data, knob, **how: awac_loss(x, advantage, temperature=knob, **how)


def _td3_bc(td3_bc_loss):
    return lambda x, advantage, action, data, knob, **how: td3_bc_loss(x, action, data, alpha=knob, **how)


def _rebrac(rebrac_actor_loss):
    return lambda x, advantage, action, data, knob, **how: rebrac_actor_loss(x, action, data, beta=knob, **how)


def _drawn():
    """What a mask and the losses take; what the mask drops is NaN."""
    rng = np.random.default_rng(3)
    drawn = float32(*rng.normal(size=(2, 8)), *rng.normal(size=(2, 8, 2)))
    slope = jnp.asarray(rng.normal(size=8), jnp.float32)
    for mask in _MASKS:
        yield mask, *(jnp.where(mask.reshape(8, *[1] * (x.ndim - 1)), x, jnp.nan) for x in drawn), slope


def _value_and_slopes(loss):
    """With respect to a parameter that all examples share, and to the knob."""

    def shared(parameter, knob, mask, x, advantage, action, data, slope, axis_name):
        moved = x + parameter * slope, advantage, action + parameter * slope[:, None], data
        return loss(*moved, knob, mask=mask, axis_name=axis_name)

    return lambda *arguments, axis_name=None: jax.value_and_grad(shared, (0, 1))(0.0, 0.7, *arguments, axis_name)


@functools.cache
def _whole(wrap, function):
    one = quick(_value_and_slopes(wrap(function)))
    return [jax.tree.leaves(one(*arguments)) for arguments in _drawn()]


def check_devices(wrap, function, sound):
    """What two devices average to is what the sound function gives on one."""
    both = _value_and_slopes(wrap(function))
    spread = quick(
        jax.vmap(lambda *args: jax.lax.pmean(both(*args, axis_name="devices"), "devices"), axis_name="devices")
    )
    for arguments, expected in zip(_drawn(), _whole(wrap, sound), strict=True):
        found = spread(*(x.reshape(2, 4, *x.shape[1:]) for x in arguments))
        assert np.isfinite(expected).all()
        for one, other in zip(jax.tree.leaves(found), expected, strict=True):
            assert_close(one, np.full(2, other))


@pytest.mark.parametrize(
    ("wrap", "function"),
    [
        (_vmpo, losses.vmpo_loss),
        (_awac, losses.awac_loss),
        (_td3_bc, losses.td3_bc_loss),
        (_rebrac, losses.rebrac_actor_loss),
    ],
)
def test_devices_together_give_what_one_gives(wrap, function):
    check_devices(wrap, function, function)


def check_weights(exponential_weights):
    x = jnp.array([[0.0, 200.0], [1.0, -5.0]])
    weigh = jax.vmap(lambda x: exponential_weights(x, jnp.float32(1), axis_name="devices"), axis_name="devices")
    found = quick(weigh)(x)
    # One largest for both: e^0 of four, and all else is nothing.
    assert_close(found.largest, [200, 200])
    assert_close(found.weights, [[0, 1], [0, 0]])
    assert_close(found.log_mean, [-np.log(4)] * 2)


def test_weights_share_one_largest():
    check_weights(exponential_weights)


def check_dual(temperature_dual):
    x = jnp.asarray(np.random.default_rng(2).normal(size=6), jnp.float32)

    def ours(eta):
        return temperature_dual(exponential_weights(x, eta), eta, jnp.float32(0.1))

    def dual(eta):
        return eta * (0.1 + np.log(np.mean(np.exp(np.asarray(x, np.float64) / eta))))

    value, slope = quick(jax.value_and_grad(ours))(jnp.float32(0.7))
    assert_close(value, dual(0.7))
    assert_close(slope, (dual(0.7 + 1e-5) - dual(0.7 - 1e-5)) / 2e-5, rtol=1e-4)


def test_slope_of_the_dual_is_that_of_the_paper():
    check_dual(temperature_dual)


@pytest.mark.parametrize(
    ("module", "name", "old", "new", "check"),
    [
        ("weights", "temperature_dual", "log_mean - found.mean", "log_mean + found.mean", check_dual),
        ("weights", "temperature_dual", "jax.lax.stop_gradient(temperature)) *", "temperature) *", check_dual),
        ("weights", "exponential_weights", "jax.lax.pmax(largest, axis_name)", "largest", check_weights),
        (
            "weights",
            "exponential_weights",
            "weights * exponents)], axis_name)",
            "weights * exponents)], None)",
            check_weights,
        ),
        ("vmpo", "vmpo_loss", "jax.lax.all_gather(ranked, axis_name)", "ranked", _vmpo),
        ("vmpo", "vmpo_loss", "psum(jnp.sum(valid), axis_name)", "jnp.sum(valid)", _vmpo),
        ("vmpo", "vmpo_loss", "psum(jnp.sum(best), axis_name)", "jnp.sum(best)", _vmpo),
        ("vmpo", "vmpo_loss", "(log_prob, found.weights, axis_name)", "(log_prob, found.weights)", _vmpo),
        ("offline", "awac_loss", "mask=mask, axis_name=axis_name)", "mask=mask)", _awac),
        (
            "offline",
            "awac_loss",
            "-masked_mean(log_prob, found.weights, axis_name)",
            "-masked_mean(log_prob, found.weights)",
            _awac,
        ),
        ("offline", "awac_loss", "tilt), found.weights, axis_name)", "tilt), found.weights)", _awac),
        ("behaviour_regularised", "td3_bc_loss", "(q)), mask, axis_name), axis_name)", "(q)), mask), None)", _td3_bc),
    ],
)
def test_the_checks_see_faults(module, name, old, new, check):
    faulty = plant(f"bellmax.losses._{module}", name, old, new)
    with pytest.raises(AssertionError):
        check(faulty) if module == "weights" else check_devices(check, faulty, getattr(losses, name))
