"""Cases of actors that follow a critic, of their temperatures, and of policy gradients over all actions."""

import math

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_policy import draw_logits, each, log_softmax, numbers, rows

_MASKED = np.array([0.0, -np.inf, 1.0, -2.0])
_POISON = np.array([1.0, np.inf, -3.0, 2.0])


def _draw_dpg(rng, batch):
    return {"action": rng.normal(size=(*batch, 3)), "dq_daction": rng.normal(size=(*batch, 3))}


def _dpg(action, dq_daction, clip=None):
    length = math.sqrt(sum(x * x for x in dq_daction))
    scale = 1.0 if clip is None or length <= clip else clip / length
    return 0.5 * sum((scale * x) ** 2 for x in dq_daction)


def _draw_temperature(rng, batch):
    return {"multiplier": rng.uniform(0.1, 2), **numbers("log_prob")(rng, batch)}


def _temperature(multiplier, log_prob, target_entropy):
    return np.array([-multiplier * (x + target_entropy) for x in log_prob.ravel()]).reshape(log_prob.shape)


def _draw_discrete_temperature(rng, batch):
    return {"multiplier": rng.uniform(0.1, 2), **draw_logits("logits")(rng, batch)}


def _discrete_temperature(multiplier, logits, target_entropy):
    def row(logits):
        entropy = -sum(math.exp(x) * x for x in log_softmax(logits) if x > -math.inf)
        return multiplier * (entropy - target_entropy)

    return rows(row)(logits=logits)


def _discrete_sac(logits, q, alpha):
    pairs = zip(log_softmax(logits), q, strict=True)
    return sum(math.exp(x) * (alpha * x - value) for x, value in pairs if x > -math.inf)


def _advantages(logits, q):
    """Probability and advantage of each legal action."""
    pairs = [(math.exp(x), value) for x, value in zip(log_softmax(logits), q, strict=True) if x > -math.inf]
    mean = sum(p * value for p, value in pairs)
    return [(p, value - mean) for p, value in pairs]


def _qpg(logits, q):
    return -sum(p * a for p, a in _advantages(logits, q))


def _rm(logits, q):
    return -sum(p * max(a, 0) for p, a in _advantages(logits, q))


def _rpg(logits, q):
    return sum(max(a, 0) for _, a in _advantages(logits, q))


def _neurd(logits, q, threshold):
    legal = [y for y in logits if y > -math.inf]
    total = 0.0
    for y, (_, a) in zip(legal, _advantages(logits, q), strict=True):
        if (a > 0 and y < threshold) or (a <= 0 and y > -threshold):
            total -= y * a
    return total


_LOGIT_EDGES = (
    {"logits": _MASKED, "q": _POISON},
    {"logits": _MASKED, "q": -_POISON},
    {"logits": [0.0, -100.0, 100.0, -1e30]},
    {"logits": [0.0, -np.inf, -np.inf, -np.inf], "q": -np.abs(_POISON)[[0, 1, 1, 1]]},
)


CASES = {
    "losses.dpg_loss": Case(
        losses.dpg_loss,
        _draw_dpg,
        rows(_dpg),
        learns=("action",),
        edges=({"dq_daction": 1e15}, {"action": 1e30}),
        faults=(
            ("slope = jax.lax.stop_gradient(dq_daction)", "slope = dq_daction"),
            ("return 0.5 * jnp.sum", "return jnp.sum"),
        ),
        # The value does not move with the action, only the gradient does.
        smooth=False,
    ),
    "losses.dpg_loss: clipped": Case(
        losses.dpg_loss,
        _draw_dpg,
        rows(_dpg),
        learns=("action",),
        static={"clip": 0.8},
        edges=(
            {"dq_daction": 0.0},
            {"dq_daction": 1e30},
            {"dq_daction": 3e38},
            {"dq_daction": [0.0, 3e38, -3e38]},
            {"dq_daction": 1e-30},
        ),
        faults=(("length <= longest", "length > longest"), ("(longest / jnp.maximum", "(longest * jnp.maximum")),
        smooth=False,
    ),
    "losses.sac_actor_loss": Case(
        losses.sac_actor_loss,
        numbers("log_prob", "q"),
        each(lambda log_prob, q, alpha: alpha * log_prob - q),
        static={"alpha": 0.3},
        edges=({"log_prob": -100.0}, {"log_prob": 100.0, "q": -1e30}),
        faults=(
            ("(alpha)) - q", "(alpha)) + q"),
            ("return multiply_no_nan(log_prob,", "return -multiply_no_nan(log_prob,"),
            ("(alpha)) - q", "(alpha)) - jax.lax.stop_gradient(q)"),
        ),
    ),
    "losses.sac_actor_loss: without entropy": Case(
        losses.sac_actor_loss,
        numbers("log_prob", "q"),
        each(lambda log_prob, q, alpha: -q),
        learns=("q",),
        static={"alpha": 0.0},
        hides=("log_prob",),
        edges=({"log_prob": -np.inf},),
        faults=(("multiply_no_nan(log_prob, jax.lax.stop_gradient(alpha))", "log_prob * alpha"),),
    ),
    "losses.temperature_loss": Case(
        losses.temperature_loss,
        _draw_temperature,
        _temperature,
        learns=("multiplier",),
        static={"target_entropy": -1.5},
        axes={"multiplier": None},
        edges=({"multiplier": -3.0}, {"log_prob": -100.0}),
        faults=(
            ("-spread(multiplier, log_prob)", "spread(multiplier, log_prob)"),
            ("jax.lax.stop_gradient(log_prob) + target", "log_prob + target"),
            ("(log_prob) + target", "(log_prob) - target"),
        ),
    ),
    "losses.sac_actor_loss: a temperature each": Case(
        losses.sac_actor_loss,
        lambda rng, batch: {**numbers("log_prob", "q")(rng, batch), "alpha": rng.uniform(size=batch)},
        each(lambda log_prob, q, alpha: alpha * log_prob - q),
        learns=("log_prob", "q"),
        broadcasts=("alpha",),
    ),
    "losses.temperature_loss: a multiplier each": Case(
        losses.temperature_loss,
        lambda rng, batch: {"multiplier": rng.uniform(size=batch), **numbers("log_prob")(rng, batch)},
        each(lambda multiplier, log_prob, target_entropy: -multiplier * (log_prob + target_entropy)),
        learns=("multiplier",),
        static={"target_entropy": -1.5},
        broadcasts=("multiplier",),
    ),
    "losses.discrete_sac_actor_loss": Case(
        losses.discrete_sac_actor_loss,
        draw_logits("logits", "q", masked=False),
        rows(_discrete_sac),
        learns=("logits",),
        static={"alpha": 0.4},
        edges=_LOGIT_EDGES,
        faults=(
            ("log_probs - jax.lax.stop_gradient(q)", "log_probs + jax.lax.stop_gradient(q)"),
            ("log_probs - jax.lax.stop_gradient(q)", "log_probs - q"),
            ("expected_value(soft, jnp.exp(log_probs))", "jnp.sum(soft * jnp.exp(log_probs), -1)"),
        ),
    ),
    "losses.discrete_sac_actor_loss: masked": Case(
        losses.discrete_sac_actor_loss,
        draw_logits("logits", "q"),
        rows(_discrete_sac),
        learns=("logits",),
        static={"alpha": 0.0},
        edges=_LOGIT_EDGES,
        smooth=False,
    ),
    "losses.discrete_temperature_loss": Case(
        losses.discrete_temperature_loss,
        _draw_discrete_temperature,
        _discrete_temperature,
        learns=("multiplier",),
        static={"target_entropy": 0.9},
        axes={"multiplier": None},
        edges=({"multiplier": -3.0}, {"logits": _MASKED}),
        faults=(
            ("entropy = -jax.lax.stop_gradient(entropy_loss(logits))", "entropy = -entropy_loss(logits)"),
            ("entropy = -jax", "entropy = jax"),
        ),
    ),
    "losses.qpg_loss": Case(
        losses.qpg_loss,
        draw_logits("logits", "q"),
        rows(_qpg),
        learns=("logits",),
        edges=_LOGIT_EDGES,
        # The value is zero, whatever the logits; tests/losses/test_policy_actors.py has the gradient and its faults.
        faults=(("jax.lax.stop_gradient(_regret(logits, probs, q)), probs", "jax.lax.stop_gradient(q), probs"),),
        smooth=False,
    ),
    "losses.rm_loss": Case(
        losses.rm_loss,
        draw_logits("logits", "q"),
        rows(_rm),
        learns=("logits",),
        edges=_LOGIT_EDGES,
        faults=(
            ("jax.nn.relu(_regret(logits, probs, q))", "_regret(logits, probs, q)"),
            (
                "return -expected_value(jax.lax.stop_gradient(jax.nn.relu",
                "return expected_value(jax.lax.stop_gradient(jax.nn.relu",
            ),
        ),
        smooth=False,
    ),
    "losses.rpg_loss": Case(
        losses.rpg_loss,
        draw_logits("logits", "q", masked=False),
        rows(_rpg),
        learns=("logits",),
        edges=_LOGIT_EDGES,
        faults=(
            ("q = jax.lax.stop_gradient(q)", "pass"),
            ("q - expected_value(q, probs)", "expected_value(q, probs)"),
        ),
    ),
    "losses.rpg_loss: masked": Case(
        losses.rpg_loss,
        draw_logits("logits", "q"),
        rows(_rpg),
        learns=("logits",),
        edges=_LOGIT_EDGES,
        faults=(("isneginf(logits), 0, q -", "isneginf(logits), q, q -"),),
        smooth=False,
    ),
    "losses.neurd_loss": Case(
        losses.neurd_loss,
        draw_logits("logits", "q"),
        rows(_neurd),
        learns=("logits",),
        static={"threshold": 0.8},
        edges=_LOGIT_EDGES,
        faults=(
            ("return -expected_value(logits,", "return expected_value(logits,"),
            ("(regret > 0) & (logits >= threshold)", "(regret > 0) & (logits <= threshold)"),
            ("jnp.where(at_the_end, 0, regret)", "regret"),
        ),
        # The advantage depends on the logits, and is data.
        smooth=False,
    ),
}
