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
    potential_reward,
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


def _draw_images(rng, batch):
    return {name: rng.uniform(0, 1, (*batch, 4, 6, 2)) for name in ("observation", "next_observation")}


def _pixels(observation, next_observation, cell_size):
    *batch, height, width, channels = observation.shape
    size = cell_size
    out = np.zeros((*batch, height // size, width // size))
    for index in np.ndindex(*out.shape):
        (*lanes, i, j), total = index, 0.0
        for y in range(i * size, (i + 1) * size):
            for x in range(j * size, (j + 1) * size):
                for c in range(channels):
                    at = (*lanes, y, x, c)
                    total += abs(next_observation[at] - observation[at])
        out[index] = total / (size * size * channels)
    return out


def _changes(features, next_features):
    out = np.zeros(features.shape)
    for at in np.ndindex(*out.shape):
        out[at] = max(next_features[at] - features[at], features[at] - next_features[at])
    return out


def _draw_potentials(rng, batch):
    discount = rng.uniform(0.5, 1, batch)
    discount.flat[0] = 0.0
    return {"potential": rng.normal(size=batch), "discount": discount, "next_potential": rng.normal(size=batch)}


def _shaping(potential, discount, next_potential):
    out = np.zeros(potential.shape)
    for at in np.ndindex(*out.shape):
        later = discount[at] * next_potential[at] if discount[at] > 0 else 0.0
        out[at] = later - potential[at]
    return out


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
        _draw_images,
        _pixels,
        static={"cell_size": 2},
        edges=({"observation": 1e15}, {"next_observation": -1e15}),
        faults=(("axis=(-4, -2, -1)", "axis=(-5, -2, -1)"), ("jnp.abs(next_observation", "(next_observation")),
    ),
    "exploration.feature_control_rewards": Case(
        feature_control_rewards,
        _two("features", "next_features"),
        _changes,
        edges=({"features": 1e30}, {"features": 0.0, "next_features": 0.0}),
        faults=(("return jnp.abs(next_features - features)", "return next_features - features"),),
    ),
    "exploration.potential_reward": Case(
        potential_reward,
        _draw_potentials,
        _shaping,
        edges=({"discount": 0.0, "next_potential": np.inf}, {"discount": 0.0, "next_potential": -np.inf}),
        faults=(
            ("multiply_no_nan(next_potential, discount)", "discount * next_potential"),
            ("discount) - potential", "discount) + potential"),
            ("multiply_no_nan(next_potential, discount)", "next_potential"),
        ),
    ),
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
