"""Cases of weighted imitation, behaviour-regularised actors and group advantages."""

import math

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_policy import each, numbers

_DATA = ("log_prob", "advantage")


def _awr(log_prob, advantage, temperature=1.0, max_weight=20.0):
    return -min(math.exp(advantage / temperature), max_weight) * log_prob


def _crr(log_prob, advantage):
    return -log_prob if advantage > 0 else 0.0


def _awac(log_prob, advantage, mask, temperature):
    terms = [
        (float(m) * math.exp(a / temperature), x)
        for x, a, m in zip(log_prob.ravel(), advantage.ravel(), mask.ravel(), strict=True)
        if m
    ]
    return -sum(w * x for w, x in terms) / sum(w for w, _ in terms)


def _draw_masked(*names):
    def draw(rng, batch):
        mask = rng.uniform(size=batch) < 0.7
        mask.flat[0] = True
        return {**numbers(*names)(rng, batch), "mask": mask}

    return draw


def _draw_weighted(rng, batch):
    return {**numbers(*_DATA)(rng, batch), "mask": np.where(rng.uniform(size=batch) < 0.3, 0, rng.uniform(size=batch))}


def _draw_warm(rng, batch):
    return {**numbers(*_DATA)(rng, batch), "temperature": rng.uniform(0.5, 2)}


def _draw_actions(rng, batch):
    actions = {name: rng.normal(size=(*batch, 2)) for name in ("action", "data_action")}
    drawn = _draw_masked("q")(rng, batch)
    return {"q": drawn["q"], **actions, "mask": drawn["mask"]}


def _regularised(q, action, data_action, mask, critic_weight, distance_weight):
    kept = [i for i in np.ndindex(mask.shape) if mask[i]]
    size = sum(abs(q[i]) for i in kept) / len(kept)
    loss = 0.0
    for i in kept:
        distance = sum((a - b) ** 2 for a, b in zip(action[i], data_action[i], strict=True))
        loss += distance_weight * distance - critic_weight * q[i] / size
    return loss / len(kept)


def _td3_bc(q, action, data_action, mask, alpha=2.5):
    return _regularised(q, action, data_action, mask, alpha, 1 / 2)


def _rebrac(q, action, data_action, mask, beta):
    return _regularised(q, action, data_action, mask, 1.0, beta)


def _draw_critic(rng, batch):
    return {
        **numbers("q", "reward", "next_q")(rng, batch),
        "discount": np.where(rng.uniform(size=batch) < 0.3, 0.0, rng.uniform(0.5, 1, batch)),
        "next_action": rng.normal(size=(*batch, 2)),
        "next_data_action": rng.normal(size=(*batch, 2)),
    }


def _rebrac_critic(q, reward, discount, next_q, next_action, next_data_action, beta):
    out = np.zeros(q.shape)
    for i in np.ndindex(q.shape):
        distance = sum((a - b) ** 2 for a, b in zip(next_action[i], next_data_action[i], strict=True))
        out[i] = reward[i] + discount[i] * (next_q[i] - beta * distance) - q[i]
    return out


def _draw_groups(rng, batch):
    return {"reward": rng.normal(size=(*batch, 4))}


def _group(reward, epsilon=1e-4, scale=True):
    out = np.zeros(reward.shape)
    for i in np.ndindex(reward.shape[:-1]):
        row = reward[i].tolist()
        mean = sum(row) / len(row)
        deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row)) + epsilon if scale else 1.0
        out[i] = [(x - mean) / deviation for x in row]
    return out


def _leave_one_out(reward):
    out = np.zeros(reward.shape)
    for i in np.ndindex(reward.shape):
        row = reward[i[:-1]].tolist()
        others = row[: i[-1]] + row[i[-1] + 1 :]
        out[i] = reward[i] - sum(others) / len(others)
    return out


_NOTHING = {"mask": False}
_KNOB = {"temperature": None}
_COLD = tuple({"temperature": x} for x in (1e-20, 1e-38, 0.0))
_ACTOR_EDGES = (_NOTHING, {"mask": [True, False, True], "q": [1.0, np.nan, -2.0]}, {"q": 0.0})

CASES = {
    "losses.awr_loss": Case(
        losses.awr_loss,
        numbers(*_DATA),
        each(_awr),
        learns=("log_prob",),
        static={"temperature": 0.5, "max_weight": 3.0},
        edges=({"log_prob": -np.inf, "advantage": -np.inf}, {"advantage": 1e30}, {"advantage": -100.0}),
        faults=(
            ("log_prob, -weight", "log_prob, weight"),
            ("jax.lax.stop_gradient(advantage) / temperature", "advantage / temperature"),
            ("jnp.exp(jnp.minimum(", "jnp.exp(jnp.maximum("),
            ("(advantage) / temperature", "(advantage) * temperature"),
        ),
    ),
    "losses.awr_loss: a swept temperature": Case(
        losses.awr_loss,
        _draw_warm,
        lambda temperature, **kwargs: each(lambda **row: _awr(temperature=float(temperature), **row))(**kwargs),
        learns=("log_prob", "temperature"),
        axes=_KNOB,
        edges=_COLD,
        faults=(('floored(positive(temperature, log_prob, "awr', '(positive(temperature, log_prob, "awr'),),
    ),
    "losses.awac_loss": Case(
        losses.awac_loss,
        _draw_masked(*_DATA),
        _awac,
        learns=("log_prob",),
        static={"temperature": 0.7},
        coupled=True,
        edges=(_NOTHING, {"advantage": 1e30}, {"mask": [True, False, True], "log_prob": [-1.0, np.nan, -2.0]}),
        faults=(
            ("with_slope(-masked_mean(", "with_slope(masked_mean("),
            ("exponential_weights(advantage,", "exponential_weights(-advantage,"),
        ),
    ),
    "losses.awac_loss: a swept temperature": Case(
        losses.awac_loss,
        lambda rng, batch: {**_draw_warm(rng, batch), "mask": _draw_masked()(rng, batch)["mask"]},
        _awac,
        learns=("log_prob", "temperature"),
        axes=_KNOB,
        coupled=True,
        edges=(*_COLD, _NOTHING),
        faults=(('floored(positive(temperature, log_prob, "awac', '(positive(temperature, log_prob, "awac'),),
    ),
    "losses.awac_loss: weights for a mask": Case(
        losses.awac_loss, _draw_weighted, _awac, learns=("log_prob",), static={"temperature": 0.7}, coupled=True
    ),
    "losses.crr_loss": Case(
        losses.crr_loss,
        numbers(*_DATA),
        each(_crr),
        learns=("log_prob",),
        edges=({"log_prob": -np.inf, "advantage": -1.0}, {"advantage": 1e30}),
        faults=(("jnp.heaviside(advantage,", "jnp.heaviside(-advantage,"),),
    ),
    "losses.td3_bc_loss": Case(
        losses.td3_bc_loss,
        _draw_actions,
        _td3_bc,
        learns=("q", "action"),
        coupled=True,
        edges=_ACTOR_EDGES,
        faults=(
            ("distance - alpha *", "distance + alpha *"),
            ("jax.lax.stop_gradient(data_action)", "data_action"),
            ("jnp.mean(_square_gap", "jnp.sum(_square_gap"),
            ("jnp.abs(jax.lax.stop_gradient(q))", "jax.lax.stop_gradient(q)"),
        ),
        # The scale of the values depends on them, and is data.
        smooth=False,
    ),
    "losses.rebrac_actor_loss": Case(
        losses.rebrac_actor_loss,
        _draw_actions,
        _rebrac,
        learns=("q", "action"),
        static={"beta": 0.3},
        coupled=True,
        edges=_ACTOR_EDGES,
        faults=(
            ("beta * distance - _normalised", "-beta * distance - _normalised"),
            ("jnp.sum(_square_gap", "jnp.mean(_square_gap"),
        ),
        smooth=False,
    ),
    "losses.rebrac_critic_error": Case(
        losses.rebrac_critic_error,
        _draw_critic,
        _rebrac_critic,
        learns=("q",),
        static={"beta": 0.3},
        edges=({"discount": 0.0, "next_q": np.inf, "next_action": np.nan}, {"discount": 1.0}),
        faults=(
            ("next_q - beta * distance", "next_q + beta * distance"),
            (
                "reward, discount, next_q, distance = jax.lax.stop_gradient((reward, discount, next_q, distance))",
                "pass",
            ),
            ("multiply_no_nan(next_q - beta * distance, discount)", "discount * (next_q - beta * distance)"),
        ),
    ),
    "losses.group_advantage": Case(
        losses.group_advantage,
        _draw_groups,
        _group,
        static={"epsilon": 0.1},
        edges=({"reward": 3.0}, {"reward": 0.0}, {"reward": [0.0, 0.0, 0.0, 1e15]}),
        faults=(
            ("jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))", "jnp.sqrt(variance)"),
            ("deviation + epsilon", "deviation - epsilon"),
        ),
    ),
    "losses.group_advantage: not scaled": Case(
        losses.group_advantage,
        _draw_groups,
        _group,
        static={"scale": False},
        edges=({"reward": 3.0},),
        faults=(("if not scale:", "if scale:"),),
    ),
    "losses.leave_one_out_advantage": Case(
        losses.leave_one_out_advantage,
        _draw_groups,
        _leave_one_out,
        edges=({"reward": 3.0},),
        faults=(("group / (group - 1)", "(group - 1) / group"),),
    ),
}
