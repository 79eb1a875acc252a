"""Cases of regressions of values, of ensembles, and of the mean over a mask."""

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_value_errors import each


def _draw(*names):
    return lambda rng, batch: {name: rng.normal(size=batch) for name in names}


def _draw_members(rng, batch):
    return {"q": rng.normal(size=(4, *batch))}


def _clipped_oracle(value, target, old_value, epsilon=0.2):
    def one(i):
        moved = old_value[i] + min(max(value[i] - old_value[i], -epsilon), epsilon)
        return 0.5 * max((target[i] - value[i]) ** 2, (target[i] - moved) ** 2)

    return each(value, one)


def _expectile_oracle(prediction, target, expectile):
    def one(i):
        gap = target[i] - prediction[i]
        return abs(expectile - (1.0 if gap < 0 else 0.0)) * gap * gap

    return each(target, one)


def _bound_oracle(q, k):
    return each(q[0], lambda i: np.mean([m[i] for m in q]) - float(k) * np.std([m[i] for m in q]))


def _draw_mask(rng, batch):
    return {"x": rng.normal(size=batch), "mask": rng.uniform(size=batch) < 0.6}


CASES = {
    "losses.value_loss": Case(
        losses.value_loss,
        _draw("value", "target"),
        lambda value, target: each(value, lambda i: (target[i] - value[i]) ** 2 / 2),
        learns=("value",),
        edges=({"target": 0.0, "value": 0.0}, {"target": 1e15}),
        faults=(
            ("return 0.5 * jnp.square(", "return jnp.square("),
            ("jax.lax.stop_gradient(target) - value", "target - value"),
        ),
    ),
    "losses.clipped_value_loss": Case(
        losses.clipped_value_loss,
        _draw("value", "target", "old_value"),
        _clipped_oracle,
        learns=("value",),
        static={"epsilon": 0.3},
        edges=({"value": 0.0, "old_value": 0.0, "target": 0.0}, {"old_value": 1e15}),
        faults=(
            ("return jnp.maximum(", "return jnp.minimum("),
            ("jnp.clip(value - old_value, -epsilon, epsilon)", "jnp.clip(value, -epsilon, epsilon)"),
            ("old_value = jax.lax.stop_gradient(old_value)", "pass"),
        ),
    ),
    "losses.expectile_loss": Case(
        losses.expectile_loss,
        _draw("prediction", "target"),
        _expectile_oracle,
        learns=("prediction",),
        static={"expectile": 0.8},
        edges=({"prediction": 0.0, "target": 0.0},),
        faults=(
            ("1 - expectile, expectile)", "expectile, 1 - expectile)"),
            ("jax.lax.stop_gradient(target) - prediction", "target - prediction"),
        ),
    ),
    "losses.ensemble_min": Case(
        losses.ensemble_min,
        _draw_members,
        lambda q: each(q[0], lambda i: min(member[i] for member in q)),
        axis=1,
        out=0,
        edges=({"q": 1.0}, {"q": 1e30}),
        faults=(("jnp.min(q, axis=0)", "jnp.max(q, axis=0)"),),
    ),
    "losses.ensemble_mean": Case(
        losses.ensemble_mean,
        _draw_members,
        lambda q: each(q[0], lambda i: sum(member[i] for member in q) / len(q)),
        axis=1,
        out=0,
        edges=({"q": 1.0},),
        faults=(("return jnp.mean(q, axis=0)", "return jnp.median(q, axis=0)"),),
    ),
    "losses.lower_confidence_bound": Case(
        losses.lower_confidence_bound,
        lambda rng, batch: {**_draw_members(rng, batch), "k": np.float64(0.7)},
        _bound_oracle,
        axis=1,
        axes={"k": None},
        out=0,
        edges=({"q": 1.0}, {"k": 0.0}, {"q": 0.0, "k": 1e6}),
        faults=(
            ("mean - jnp.asarray(k", "mean + jnp.asarray(k"),
            ("jnp.sqrt(jnp.where(variance == 0, 1, variance))", "jnp.sqrt(variance)"),
            ("variance = jnp.mean(", "variance = jnp.sum("),
        ),
    ),
    "losses.masked_mean": Case(
        losses.masked_mean,
        _draw_mask,
        lambda x, mask: np.sum(x[mask]) / max(np.sum(mask), 1),
        learns=("x",),
        coupled=True,
        edges=({"mask": False}, {"x": (1.0, np.nan, np.inf), "mask": (True, False, False)}),
        faults=(("jnp.where(count > 0, count, 1)", "count"),),
    ),
    "losses.masked_mean: weights": Case(
        losses.masked_mean,
        lambda rng, batch: {"x": rng.normal(size=batch), "mask": rng.uniform(0.1, 1, batch)},
        lambda x, mask: np.sum(x * mask) / np.sum(mask),
        coupled=True,
        edges=({"x": (1.0, np.nan, np.inf), "mask": (1.0, 0.0, 0.0)},),
        faults=(("weight * jnp.where(weight == 0, 0, wide)", "weight * wide"),),
    ),
}

EXEMPT = {"losses.random_subset_min": "takes a key: tests/losses/test_ensemble.py"}
