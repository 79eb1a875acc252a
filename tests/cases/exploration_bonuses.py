"""Cases of the exploration bonuses."""

import math

import numpy as np

from bellmax.exploration import (
    count_bonus,
    feature_control_rewards,
    forward_dynamics_loss,
    icm_bonus,
    inverse_dynamics_loss,
    pixel_control_rewards,
    rnd_bonus,
)
from cases import Case


def _two(one, other):
    def draw(rng, batch):
        return {one: rng.normal(size=(*batch, 4)), other: rng.normal(size=(*batch, 4))}

    return draw


def _squares(one, other, weight):
    """Weighted sums of squares over the last axis, one by one."""
    out = np.zeros(one.shape[:-1])
    for index in np.ndindex(*out.shape):
        for a, b in zip(one[index], other[index], strict=True):
            out[index] += weight * (a - b) ** 2
    return out


def _draw_inverse(rng, batch):
    return {"logits": 3 * rng.normal(size=(*batch, 5)), "action": rng.integers(0, 5, batch)}


def _inverse(logits, action):
    out = np.zeros(action.shape)
    for index in np.ndindex(*out.shape):
        total = sum(math.exp(each) for each in logits[index])
        out[index] = -math.log(math.exp(logits[index][action[index]]) / total)
    return out


def _pixels(observations, cell_size):
    times, *batch, height, width, channels = observations.shape
    size = cell_size
    out = np.zeros((times - 1, *batch, height // size, width // size))
    for index in np.ndindex(*out.shape):
        (t, *lanes, i, j), total = index, 0.0
        for y in range(i * size, (i + 1) * size):
            for x in range(j * size, (j + 1) * size):
                for c in range(channels):
                    at = (*lanes, y, x, c)
                    total += abs(observations[(t + 1, *at)] - observations[(t, *at)])
        out[index] = total / (size * size * channels)
    return out


_KINDS = {
    "absolute_change": lambda before, after, discount: abs(after - before),
    "increase": lambda before, after, discount: after - before,
    "decrease": lambda before, after, discount: before - after,
    "potential": lambda before, after, discount: discount * after - before,
    "feature": lambda before, after, discount: after,
}


def _features(features, kind, discount=1.0):
    return np.stack([_KINDS[kind](features[t], features[t + 1], discount) for t in range(len(features) - 1)])


def _draw_features(rng, batch):
    return {"features": rng.normal(size=(5, *batch, 3))}


CASES = {
    "exploration.rnd_bonus": Case(
        rnd_bonus,
        _two("prediction", "target"),
        lambda prediction, target: _squares(prediction, target, 1 / 4),
        learns=("prediction",),
        edges=({"prediction": 1e15}, {"target": 1e15}, {"prediction": 0.0, "target": 0.0}),
        faults=(("jax.lax.stop_gradient(target)", "target"), ("jnp.mean(", "jnp.sum("), (" - jax.lax", " + jax.lax")),
    ),
    "exploration.icm_bonus": Case(
        icm_bonus,
        _two("predicted_features", "next_features"),
        lambda predicted_features, next_features, eta: _squares(predicted_features, next_features, eta / 2),
        static={"eta": 0.3},
        learns=(),
        edges=({"predicted_features": 1e15},),
        faults=(("jnp.asarray(eta, square.dtype) / 2 *", "jnp.asarray(eta, square.dtype) *"),),
    ),
    "exploration.forward_dynamics_loss": Case(
        forward_dynamics_loss,
        _two("predicted_features", "next_features"),
        lambda predicted_features, next_features: _squares(predicted_features, next_features, 1 / 2),
        learns=("predicted_features",),
        edges=({"predicted_features": 1e15}, {"next_features": 1e15}),
        faults=(("jax.lax.stop_gradient(next_features)", "next_features"), ("return 0.5 * ", "return ")),
    ),
    "exploration.inverse_dynamics_loss": Case(
        inverse_dynamics_loss,
        _draw_inverse,
        _inverse,
        wide=True,
        edges=({"logits": 1e30}, {"logits": -1e30}, {"logits": 0.0}),
        faults=(("return -take_action", "return take_action"), ("log_softmax(", "softmax(")),
    ),
    "exploration.count_bonus": Case(
        count_bonus,
        lambda rng, batch: {"count": rng.uniform(0.2, 30, batch)},
        lambda count, beta: np.reshape([beta / math.sqrt(max(each, 1)) for each in count.ravel()], count.shape),
        static={"beta": 0.7},
        edges=({"count": 0.0}, {"count": 1.0}, {"count": 1e30}),
        faults=(("jnp.maximum(count, 1)", "count"), ("/ jnp.sqrt(", "/ (")),
    ),
    "exploration.pixel_control_rewards": Case(
        pixel_control_rewards,
        lambda rng, batch: {"observations": rng.uniform(0, 1, (3, *batch, 4, 6, 2))},
        _pixels,
        static={"cell_size": 2},
        axis=1,
        faults=(("axis=(-4, -2, -1)", "axis=(-5, -2, -1)"), ("jnp.abs(observations[1:] - ", "(observations[1:] - ")),
    ),
    "exploration.feature_control_rewards": Case(
        feature_control_rewards,
        _draw_features,
        _features,
        static={"kind": "absolute_change"},
        axis=1,
        faults=(("return jnp.abs(after - before)", "return after - before"),),
    ),
} | {
    f"exploration.feature_control_rewards: {kind}": Case(
        feature_control_rewards,
        _draw_features,
        _features,
        static={"kind": kind, "discount": 0.9},
        axis=1,
        faults=(fault,),
    )
    for kind, fault in {
        "increase": ('kind == "increase"', 'kind == "unknown"'),
        "decrease": ("return before - after", "return after - before"),
        "potential": ("* after - before", "* (after - before)"),
        "feature": ("        return after\n", "        return before\n"),
    }.items()
}

_STATE = "a state goes in and out; tests/exploration/test_episodic.py"
_CODES = "integers come out; tests/exploration/test_counts.py"

EXEMPT = {
    "exploration.init_episodic_memory": _STATE,
    "exploration.clear_episodic_memory": _STATE,
    "exploration.episodic_novelty": _STATE,
    "exploration.simhash": _CODES,
    "exploration.update_counts": _CODES,
}
