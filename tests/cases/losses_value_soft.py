"""Cases of soft maxima, soft values and the penalties made of them."""

import math

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_value_errors import ACTIONS, MASKED, SYMLOG, bootstrapped, draw_q, draw_value, each, pair


def soft(values, tau):
    """τ log Σ exp(x / τ), shifted by the maximum."""
    top = max(values)
    return top + tau * math.log(sum(math.exp((x - top) / tau) for x in values))


def soft_maximum_oracle(q, tau):
    return each(q[..., 0], lambda i: soft(q[i], float(tau)))


def mellowmax_oracle(q, omega):
    return each(q[..., 0], lambda i: math.log(sum(math.exp(omega * x) for x in q[i]) / ACTIONS) / omega)


def soft_q_oracle(q, action, reward, discount, next_q, tau, transform=None):
    f, inverse = pair(transform)

    def one(i):
        value = soft([inverse(x) for x in next_q[i]], float(tau))
        return bootstrapped(reward[i], discount[i], value, f) - q[i][action[i]]

    return each(reward, one)


def mellowmax_q_oracle(q, action, reward, discount, next_q, omega):
    value = mellowmax_oracle(next_q, omega)
    return each(reward, lambda i: bootstrapped(reward[i], discount[i], value[i]) - q[i][action[i]])


def log_softmax(values):
    total = soft(values, 1.0)
    return [x - total for x in values]


def munchausen_oracle(q, action, reward, discount, next_q, target_q, tau, alpha=0.9, log_policy_floor=-1.0):
    """As the paper writes it, the policy spelled out."""

    def one(i):
        own = tau * log_softmax(target_q[i] / tau)[action[i]]
        later = log_softmax(next_q[i] / tau)
        value = sum(math.exp(p) * (x - tau * p) for p, x in zip(later, next_q[i], strict=True))
        bonus = alpha * min(max(own, log_policy_floor), 0.0)
        return bootstrapped(reward[i] + bonus, discount[i], value) - q[i][action[i]]

    return each(reward, one)


def discrete_soft_value_oracle(q, logits, alpha):
    def one(i):
        log_probs = log_softmax(logits[i])
        return sum(math.exp(p) * (x - float(alpha) * p) for p, x in zip(log_probs, q[i], strict=True))

    return each(q[..., 0], one)


def sac_critic_oracle(q, reward, discount, next_q, next_log_prob, alpha):
    def one(i):
        return bootstrapped(reward[i], discount[i], next_q[i] - float(alpha) * next_log_prob[i]) - q[i]

    return each(reward, one)


def _draw_sac(rng, batch):
    drawn = draw_value(rng, batch)
    return {
        "q": drawn["value"],
        "reward": drawn["reward"],
        "discount": drawn["discount"],
        "next_q": drawn["next_value"],
        "next_log_prob": rng.normal(size=batch),
        "alpha": np.float64(0.3),
    }


def _draw_sampled(rng, batch):
    q, log_density = rng.normal(size=(2, 5, *batch))
    return {"q": q, "log_density": log_density, "data_q": rng.normal(size=batch), "tau": np.float64(0.7)}


def sampled_cql_oracle(q, log_density, data_q, tau):
    tau = float(tau)

    def one(i):
        weights = [math.exp(q[s][i] / tau) / math.exp(log_density[s][i]) for s in range(len(q))]
        return tau * math.log(sum(weights) / len(weights)) - data_q[i]

    return each(data_q, one)


def _q_and(name, value):
    return lambda rng, batch: {"q": 2 * rng.normal(size=(*batch, ACTIONS)), name: np.float64(value)}


def _errors_and(name, value, *more):
    return lambda rng, batch: {**draw_q(rng, batch, *more), name: np.float64(value)}


_END = {"discount": 0.0, "next_q": -np.inf}
_COLD, _HOT = {"next_q": MASKED, "tau": 1e-6}, {"next_q": MASKED, "tau": 1e6}
_TIES = {"q": 1.0}

CASES = {
    "losses.soft_maximum": Case(
        losses.soft_maximum,
        _q_and("tau", 0.7),
        soft_maximum_oracle,
        axes={"tau": None},
        edges=({"tau": 1e-6}, {"tau": 1e6}, {"q": MASKED}, {"q": MASKED, "tau": 1e-6}, {**_TIES, "tau": 1e-6}),
        faults=(
            ("top + tau * jnp.log(", "top + jnp.log("),
            ("return top, jnp.where(masked, 0, q - jnp", "return 0 * top, jnp.where(masked, 0, q - 0 * jnp"),
        ),
    ),
    "losses.mellowmax": Case(
        losses.mellowmax,
        _q_and("omega", 3.0),
        mellowmax_oracle,
        axes={"omega": None},
        edges=({"omega": 1e-6}, {"omega": 1e6}, {"q": MASKED}, {"q": MASKED, "omega": 1e-6}, {**_TIES, "omega": 1e6}),
        faults=(
            ("jnp.where(excess < -0.5, far, near) / omega", "jnp.where(excess < -0.5, far, near)"),
            ("jnp.where(excess < -0.5, far, near)", "near"),
        ),
    ),
    "losses.mellowmax: gentle": Case(
        losses.mellowmax,
        _q_and("omega", 0.1),
        mellowmax_oracle,
        axes={"omega": None},
        faults=(("jnp.maximum(excess, -0.5)", "jnp.maximum(weight, -0.5)"),),
    ),
    "losses.soft_q_learning_error": Case(
        losses.soft_q_learning_error,
        _errors_and("tau", 0.7),
        soft_q_oracle,
        learns=("q",),
        axes={"tau": None},
        edges=(_END, _COLD, _HOT),
        faults=(("soft_maximum(inverted(next_q, transform), tau)", "jnp.max(inverted(next_q, transform), axis=-1)"),),
    ),
    "losses.soft_q_learning_error: transform": Case(
        losses.soft_q_learning_error,
        _errors_and("tau", 0.7),
        soft_q_oracle,
        learns=("q",),
        axes={"tau": None},
        static={"transform": SYMLOG},
        edges=(_END, _COLD, _HOT),
        faults=(("soft_maximum(inverted(next_q, transform), tau)", "inverted(soft_maximum(next_q, tau), transform)"),),
    ),
    "losses.mellowmax_q_learning_error": Case(
        losses.mellowmax_q_learning_error,
        _errors_and("omega", 2.0),
        mellowmax_q_oracle,
        learns=("q",),
        axes={"omega": None},
        edges=(_END, {"next_q": MASKED, "omega": 1e-6}, {"next_q": MASKED, "omega": 1e6}),
        faults=(("mellowmax(inverted(next_q, transform), omega)", "jnp.mean(next_q, axis=-1)"),),
    ),
    "losses.munchausen_q_learning_error": Case(
        losses.munchausen_q_learning_error,
        _errors_and("tau", 0.4, "target_q"),
        munchausen_oracle,
        learns=("q",),
        axes={"tau": None},
        edges=(_END, _COLD, _HOT, {"target_q": MASKED}),
        faults=(
            ("reward + bonus, discount", "reward - bonus, discount"),
            ("jnp.clip(scaled_log_prob, jnp.asarray(floor, q.dtype), 0)", "scaled_log_prob"),
            ("take_action(target_q, action) - soft_maximum", "take_action(q, action) - soft_maximum"),
        ),
    ),
    "losses.soft_value": Case(
        losses.soft_value,
        lambda rng, batch: {
            "q": rng.normal(size=batch),
            "log_prob": rng.normal(size=batch),
            "alpha": np.float64(0.3),
        },
        lambda q, log_prob, alpha: q - alpha * log_prob,
        axes={"alpha": None},
        edges=({"alpha": 0.0}, {"alpha": 0.0, "log_prob": -np.inf}),
        faults=(("return q - multiply_no_nan", "return q + multiply_no_nan"),),
    ),
    "losses.soft_value: one temperature an example": Case(
        losses.soft_value,
        lambda rng, batch: {
            "q": rng.normal(size=batch),
            "log_prob": rng.normal(size=batch),
            "alpha": rng.uniform(0.1, 1, batch),
        },
        lambda q, log_prob, alpha: q - alpha * log_prob,
    ),
    "losses.discrete_soft_value": Case(
        losses.discrete_soft_value,
        lambda rng, batch: {
            "q": rng.normal(size=(*batch, ACTIONS)),
            "logits": rng.normal(size=(*batch, ACTIONS)),
            "alpha": np.float64(0.3),
        },
        discrete_soft_value_oracle,
        axes={"alpha": None},
        edges=({"logits": MASKED}, {"logits": MASKED, "q": MASKED}, {"logits": (200.0, 0.0, 0.0, -200.0)}),
        faults=(
            ("expected_value(q, probs) + jnp", "expected_value(q, probs) - jnp"),
            ("expected_value(q, probs) + jnp", "jnp.sum(q * probs, axis=-1) + jnp"),
        ),
    ),
    "losses.sac_critic_error": Case(
        losses.sac_critic_error,
        _draw_sac,
        sac_critic_oracle,
        learns=("q",),
        axes={"alpha": None},
        edges=(_END, {"alpha": 0.0, "next_log_prob": -np.inf}),
        faults=(
            ("soft_value(next_q, next_log_prob, alpha))", "next_q)"),
            ("return q - multiply_no_nan", "return q + multiply_no_nan"),
        ),
    ),
    "losses.cql_loss": Case(
        losses.cql_loss,
        lambda rng, batch: {
            "q": rng.normal(size=(*batch, ACTIONS)),
            "action": rng.integers(0, ACTIONS, batch).astype(np.int32),
        },
        lambda q, action, tau: each(action, lambda i: soft(q[i], tau) - q[i][action[i]]),
        static={"tau": 0.7},
        edges=({"q": MASKED, "action": 1}, {"q": 1.0}, {"q": (0.0, 1e30, 0.0, 0.0)}),
        faults=(("- take_action(q, action)", "- jnp.mean(q, axis=-1)"),),
    ),
    "losses.sampled_cql_loss": Case(
        losses.sampled_cql_loss,
        _draw_sampled,
        sampled_cql_oracle,
        learns=("q", "data_q", "tau"),
        axes={"q": 1, "log_density": 1, "tau": None},
        edges=({"tau": 1e-6}, {"tau": 1e3}, {"log_density": 100.0}, {"log_density": -100.0}),
        faults=(
            ("tau) - scale * math.log(samples)", "tau)"),
            ("jax.lax.stop_gradient(log_density)", "log_density"),
            ("q - scale * jax", "q - jax"),
        ),
    ),
}
