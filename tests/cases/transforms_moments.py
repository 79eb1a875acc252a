"""Cases of normalising by moments and by PopArt; the moments themselves go in as constants."""

import jax.numpy as jnp
import numpy as np

from bellmax._core import Counter
from bellmax.transforms import (
    Moments,
    PopArt,
    RewardScale,
    normalise,
    popart_normalise,
    popart_unnormalise,
    rescale_output,
    scale_reward,
    unnormalise,
)
from cases import Case

_MEAN, _VARIANCE = [1.0, -2.0, 0.5], [4.0, 0.25, 9.0]
_MOMENTS = Moments(Counter.zero() + 10, jnp.array(_MEAN), jnp.array(_VARIANCE), jnp.full(3, 1e-9), jnp.full(3, -1e-9))
_POPART = PopArt(jnp.array(_MEAN), jnp.array(_VARIANCE), jnp.array([2.0, 0.5, 3.0]), jnp.full(3, 1e-9))
_NEW = PopArt(jnp.array([0.0, 1.0, 1.5]), jnp.array([1.0, 16.0, 6.25]), jnp.array([1.0, 4.0, 2.5]), jnp.zeros(3))
_SCALES = [2.0, 0.5, 3.0]
_REST = float(np.float32(1e-9))
_REWARDS = RewardScale(
    jnp.zeros(()), Moments(Counter.zero() + 7, *(jnp.float32(each) for each in (5.0, 6.25, 0.0, 0.0)))
)


def _by_element(function):
    def oracle(x, moments, **knobs):
        out = np.zeros(x.shape)
        for index in np.ndindex(*x.shape):
            out[index] = function(x[index], _MEAN[index[-1]] + _REST, _SCALES[index[-1]])
        return out

    return oracle


def _by_output(function):
    def oracle(value, index, state):
        out = np.zeros(value.shape)
        for at in np.ndindex(*value.shape):
            out[at] = function(value[at], _MEAN[index[at]] + _REST, _SCALES[index[at]])
        return out

    return oracle


def _draw_values(rng, batch):
    return {"value": 3 * rng.normal(size=batch), "index": rng.integers(0, 3, batch)}


def _draw_layer(rng, batch):
    return {"weight": rng.normal(size=(*batch, 3, 2)), "bias": rng.normal(size=(*batch, 3))}


def _rescaled(weight, bias, old, new):
    """Solves for the layer that gives the same outputs: σ'(W'x + b') + μ' = σ(Wx + b) + μ at three inputs."""
    new_weight, new_bias = np.zeros(weight.shape), np.zeros(bias.shape)
    inputs = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    design = np.concatenate([inputs, np.ones((3, 1))], axis=1)
    for at in np.ndindex(*bias.shape):
        i = at[-1]
        outputs = _SCALES[i] * (inputs @ weight[at] + bias[at]) + _MEAN[i] + _REST
        *new_weight[at], new_bias[at] = np.linalg.solve(design, (outputs - float(new.mean[i])) / float(new.scale[i]))
    return [new_weight, new_bias]


CASES = {
    "transforms.normalise": Case(
        normalise,
        lambda rng, batch: {"x": 3 * rng.normal(size=(*batch, 3))},
        _by_element(lambda x, mean, scale: min(max((x - mean) / scale, -2.0), 2.0)),
        static={"moments": _MOMENTS, "clip": 2.0},
        edges=({"x": 1e30}, {"x": 0.0}),
        smooth=False,
        faults=(
            ("/ scale", "* scale"),
            ("(x - mean) - rest", "x"),
            ("jnp.clip(y, -largest", "jnp.clip(y, 0 * largest"),
        ),
    ),
    "transforms.unnormalise": Case(
        unnormalise,
        lambda rng, batch: {"y": 3 * rng.normal(size=(*batch, 3))},
        lambda y, moments: _by_element(lambda y, mean, scale: y * scale + mean)(y, moments),
        static={"moments": _MOMENTS},
        faults=(("(y * scale + rest) + mean", "(y + mean) * scale"),),
    ),
    "transforms.popart_normalise": Case(
        popart_normalise,
        _draw_values,
        _by_output(lambda value, mean, scale: (value - mean) / scale),
        static={"state": _POPART},
        faults=(("((value - mean) - rest) / scale", "value / scale - mean"),),
    ),
    "transforms.popart_unnormalise": Case(
        popart_unnormalise,
        _draw_values,
        _by_output(lambda value, mean, scale: value * scale + mean),
        static={"state": _POPART},
        faults=(("(value * scale + rest) + mean", "(value + mean) * scale"),),
    ),
    "transforms.rescale_output": Case(
        rescale_output,
        _draw_layer,
        _rescaled,
        static={"old": _POPART, "new": _NEW},
        faults=(
            ("bias * ratio + moved", "bias * ratio - moved"),
            ("old.scale) / like(bias, new.scale)", "new.scale) / like(bias, old.scale)"),
        ),
    ),
    "transforms.scale_reward": Case(
        scale_reward,
        lambda rng, batch: {"reward": 3 * rng.normal(size=batch)},
        lambda reward, state, clip: np.minimum(np.maximum(reward / 2.5, -1.0), 1.0),
        static={"state": _REWARDS, "clip": 1.0},
        edges=({"reward": 1e30},),
        smooth=False,
        faults=(("wide / jnp.sqrt(", "(wide - 5) / jnp.sqrt("), ("wide / jnp.sqrt(", "wide / (")),
    ),
}

_STATE = "a state goes in or out; tests/transforms/test_"

EXEMPT = (
    {f"transforms.{name}": f"{_STATE}moments.py" for name in ("init_moments", "update_moments", "merge_moments")}
    | {f"transforms.{name}": f"{_STATE}moments.py" for name in ("init_ema_moments", "update_ema_moments")}
    | {f"transforms.{name}": f"{_STATE}popart.py" for name in ("init_popart", "update_popart")}
    | {f"transforms.{name}": f"{_STATE}scaling.py" for name in ("init_return_range", "update_return_range")}
    | {f"transforms.{name}": f"{_STATE}scaling.py" for name in ("return_scale", "init_reward_scale")}
    | {"transforms.update_reward_scale": f"{_STATE}scaling.py"}
)
