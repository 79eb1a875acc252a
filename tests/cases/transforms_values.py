"""Cases of the transforms of values and actions."""

import math

import numpy as np

from bellmax.transforms import (
    box_to_reals,
    clip_gradient,
    reals_to_box,
    reals_to_box_log_det,
    signed_hyperbolic,
    signed_parabolic,
    signed_power,
    symexp,
    symlog,
)
from cases import Case


def _elementwise(function):
    """Turns a function of one number into an oracle."""

    def oracle(x, **knobs):
        return np.reshape([math.copysign(function(abs(float(each)), **knobs), each) for each in x.ravel()], x.shape)

    return oracle


def _draw(scale):
    def draw(rng, batch):
        x = scale * rng.normal(size=batch)
        x.flat[0] = 0.0
        return {"x": x}

    return draw


def _hyperbolic(size, eps):
    return math.sqrt(size + 1) - 1 + eps * size


def _root(size, eps):
    """Bisects for the number whose `_hyperbolic` is given."""
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _hyperbolic(middle, eps) < size else (low, middle)
    return low


def _power(size, p):
    return ((size / math.sqrt(p) + 1) ** p - 1) / math.sqrt(p)


_EDGES = tuple({"x": x} for x in (0.0, 1e-30, -1e-30, 1e12, -1e12))


def _draw_action(rng, batch):
    return {"action": rng.uniform(-0.9, 2.9, batch)}


def _reals_to_box(x, low, high):
    return np.reshape([low + (high - low) / (1 + math.exp(-each)) for each in x.ravel()], x.shape)


def _box_to_reals(action, low, high):
    share = [(each - low) / (high - low) for each in action.ravel()]
    return np.reshape([math.log(each / (1 - each)) for each in share], action.shape)


def _log_det(x, low, high):
    out = np.zeros(x.shape[:-1])
    for index in np.ndindex(*out.shape):
        for i, each in enumerate(x[index]):
            share = 1 / (1 + math.exp(-each))
            out[index] += math.log((high[i] - low[i]) * share * (1 - share))
    return out


CASES = {
    "transforms.signed_hyperbolic": Case(
        signed_hyperbolic,
        _draw(10),
        _elementwise(_hyperbolic),
        static={"eps": 0.01},
        edges=_EDGES,
        faults=(("+ eps * near)", "- eps * near)"), ("+ 1) + 1) + eps", "+ 1) - 1) + eps")),
    ),
    "transforms.signed_parabolic": Case(
        signed_parabolic,
        _draw(10),
        _elementwise(_root),
        static={"eps": 0.01},
        edges=_EDGES,
        faults=(("linear = 1 + 2 * eps", "linear = 1 + eps"), ("near * slope * (jnp.abs", "slope * (jnp.abs")),
    ),
    "transforms.symlog": Case(
        symlog,
        _draw(10),
        _elementwise(math.log1p),
        edges=_EDGES,
        faults=(("_odd(jnp.log1p, x)", "jnp.log1p(x)"), ("_odd(jnp.log1p, x)", "_odd(jnp.expm1, x)")),
    ),
    "transforms.symexp": Case(
        symexp,
        _draw(2),
        _elementwise(math.expm1),
        edges=tuple({"x": x} for x in (0.0, 1e-30, -1e-30, 80.0, -80.0)),
        faults=(("_odd(jnp.expm1, x)", "jnp.expm1(x)"),),
    ),
    "transforms.signed_power": Case(
        signed_power,
        _draw(10),
        _elementwise(_power),
        static={"p": 0.3},
        edges=_EDGES,
        faults=(("jnp.log1p(size / root)", "jnp.log1p(size)"), ("/ root, x)", "* root, x)")),
    ),
    "transforms.signed_power: stretching": Case(
        signed_power, _draw(3), _elementwise(_power), static={"p": 2.5}, edges=_EDGES
    ),
    "transforms.reals_to_box": Case(
        reals_to_box,
        _draw(2),
        _reals_to_box,
        static={"low": -1.0, "high": 3.0},
        edges=tuple({"x": x} for x in (0.0, 1e30, -1e30)),
        faults=(("high - step", "high + step"), ("sigmoid(jnp", "tanh(jnp")),
    ),
    "transforms.box_to_reals": Case(
        box_to_reals,
        _draw_action,
        _box_to_reals,
        static={"low": -1.0, "high": 3.0},
        edges=tuple({"action": action} for action in (-1.0, 3.0, -5.0, 1e30)),
        faults=(("action - low, least", "action - low, 0"), ("- jnp.log(jnp.clip(high", "+ jnp.log(jnp.clip(high")),
    ),
    "transforms.reals_to_box_log_det": Case(
        reals_to_box_log_det,
        lambda rng, batch: {"x": 2 * rng.normal(size=(*batch, 2))},
        _log_det,
        static={"low": np.array([-1.0, 0.5]), "high": np.array([3.0, 0.6])},
        edges=tuple({"x": x} for x in (0.0, 1e30, -1e30)),
        wide=True,
        faults=(("jnp.log(width) +", ""), ("log_sigmoid(-wide)", "log_sigmoid(wide)")),
    ),
    "transforms.clip_gradient": Case(
        clip_gradient,
        _draw(3),
        lambda x, low, high: x,
        static={"low": -100.0, "high": 100.0},
        edges=_EDGES,
        faults=(("jnp.clip(cotangent,", "0 * jnp.clip(cotangent,"),),
    ),
}

_PAIR = "a pair of functions, no arrays; tests/transforms/test_pairs.py"

EXEMPT = {
    f"transforms.{name}_transform": _PAIR
    for name in ("affine", "arcsinh", "discount", "hyperbolic", "identity", "log", "power", "symlog")
} | {"transforms.compose_transforms": _PAIR}
