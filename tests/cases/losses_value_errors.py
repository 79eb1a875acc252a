"""Cases of the one-step errors of state values and action values."""

import jax.numpy as jnp
import numpy as np

from bellmax import losses
from bellmax._core import ValueTransform
from cases import Case

SYMLOG = ValueTransform(
    lambda x: jnp.sign(x) * jnp.log1p(jnp.abs(x)), lambda y: jnp.sign(y) * (jnp.exp(jnp.abs(y)) - 1)
)
ACTIONS = 4
MASKED = (-np.inf, 1.0, 2.0, 3.0)
"""Values of four actions of which the first is masked; broadcast over the batch."""


def symlog(x):
    return np.sign(x) * np.log1p(abs(x))


def symexp(y):
    return np.sign(y) * np.expm1(abs(y))


def draw_value(rng, batch):
    value, reward, next_value = rng.normal(size=(3, *batch))
    discount = np.where(rng.uniform(size=batch) < 0.3, 0.0, rng.uniform(0.5, 1, batch))
    return {"value": value, "reward": reward, "discount": discount, "next_value": next_value}


def draw_q(rng, batch, *more):
    """Draws what Q-learning takes, and further action values by name."""
    q, next_q = rng.normal(size=(2, *batch, ACTIONS))
    drawn = draw_value(rng, batch)
    return {
        "q": q,
        "action": rng.integers(0, ACTIONS, batch).astype(np.int32),
        "reward": drawn["reward"],
        "discount": drawn["discount"],
        "next_q": next_q,
        **{name: rng.normal(size=(*batch, ACTIONS)) for name in more},
    }


def bootstrapped(reward, discount, next_value, f=float, inverse=float):
    return f(reward + (0.0 if discount == 0 else discount * inverse(next_value)))


def each(reward, one):
    """Calls a function with the index of each example."""
    out = np.empty(np.shape(reward))
    for i in np.ndindex(out.shape):
        out[i] = one(i)
    return out


def pair(transform):
    return (float, float) if transform is None else (symlog, symexp)


def td_oracle(value, reward, discount, next_value, transform=None):
    f, inverse = pair(transform)
    return each(reward, lambda i: bootstrapped(reward[i], discount[i], next_value[i], f, inverse) - value[i])


def greedy_oracle(q, action, reward, discount, next_q, next_q_selector=None, transform=None):
    selector = next_q if next_q_selector is None else next_q_selector
    f, inverse = pair(transform)

    def one(i):
        best = max(range(ACTIONS), key=lambda a: selector[i][a])
        return bootstrapped(reward[i], discount[i], next_q[i][best], f, inverse) - q[i][action[i]]

    return each(reward, one)


def sarsa_oracle(q, action, reward, discount, next_q, next_action, transform=None):
    f, inverse = pair(transform)

    def one(i):
        return bootstrapped(reward[i], discount[i], next_q[i][next_action[i]], f, inverse) - q[i][action[i]]

    return each(reward, one)


def expected_sarsa_oracle(q, action, reward, discount, next_q, next_probs, transform=None):
    f, inverse = pair(transform)

    def one(i):
        mean = sum(p * inverse(x) for p, x in zip(next_probs[i], next_q[i], strict=True))
        return bootstrapped(reward[i], discount[i], mean, f) - q[i][action[i]]

    return each(reward, one)


def _draw_sarsa(rng, batch):
    return {**draw_q(rng, batch), "next_action": rng.integers(0, ACTIONS, batch).astype(np.int32)}


def _draw_expected_sarsa(rng, batch):
    return {**draw_q(rng, batch), "next_probs": rng.dirichlet(np.ones(ACTIONS), batch)}


def _draw_qv(rng, batch):
    drawn = draw_q(rng, batch)
    del drawn["next_q"]
    return {**drawn, "next_value": rng.normal(size=batch)}


def _draw_qv_max(rng, batch):
    drawn = draw_value(rng, batch)
    del drawn["next_value"]
    return {**drawn, "next_q": rng.normal(size=(*batch, ACTIONS))}


_END = {"discount": 0.0, "next_q": -np.inf}
_DISCOUNTED = {"discount": 0.0, "next_value": -np.inf}
_MASKED_PROBS = {"next_q": MASKED, "next_probs": (0.0, 0.2, 0.3, 0.5)}

CASES = {
    "losses.td_error": Case(
        losses.td_error,
        draw_value,
        td_oracle,
        learns=("value",),
        edges=(_DISCOUNTED, {"next_value": 1e30}),
        faults=(
            (
                "one_step_error(value, reward, discount, inverted(next_value",
                "one_step_error(-value, reward, discount, inverted(next_value",
            ),
        ),
    ),
    "losses.td_error: transform": Case(
        losses.td_error,
        draw_value,
        td_oracle,
        learns=("value",),
        static={"transform": SYMLOG},
        edges=(_DISCOUNTED,),
        faults=(("value, reward, discount, inverted(next_value, transform)", "value, reward, discount, next_value"),),
    ),
    "losses.sarsa_error": Case(
        losses.sarsa_error,
        _draw_sarsa,
        sarsa_oracle,
        learns=("q",),
        edges=(_END, {"discount": 0.0, "next_action": ACTIONS}),
        faults=(("take_action(next_q, next_action)", "take_action(next_q, action)"),),
    ),
    "losses.sarsa_error: transform": Case(
        losses.sarsa_error, _draw_sarsa, sarsa_oracle, learns=("q",), static={"transform": SYMLOG}, edges=(_END,)
    ),
    "losses.expected_sarsa_error": Case(
        losses.expected_sarsa_error,
        _draw_expected_sarsa,
        expected_sarsa_oracle,
        learns=("q",),
        edges=(_END, _MASKED_PROBS),
        faults=(
            ("expected_value(inverted(next_q, transform), next_probs)", "jnp.sum(next_q * next_probs, axis=-1)"),
            ("expected_value(inverted(next_q, transform), next_probs)", "jnp.max(next_q, axis=-1)"),
        ),
    ),
    "losses.expected_sarsa_error: transform": Case(
        losses.expected_sarsa_error,
        _draw_expected_sarsa,
        expected_sarsa_oracle,
        learns=("q",),
        static={"transform": SYMLOG},
        edges=(_END, _MASKED_PROBS),
        faults=(
            (
                "expected_value(inverted(next_q, transform), next_probs)",
                "inverted(expected_value(next_q, next_probs), transform)",
            ),
        ),
    ),
    "losses.qv_learning_error": Case(
        losses.qv_learning_error,
        _draw_qv,
        lambda q, action, reward, discount, next_value: td_oracle(
            np.take_along_axis(q, action[..., None], -1)[..., 0], reward, discount, next_value
        ),
        learns=("q",),
        edges=(_DISCOUNTED,),
        faults=(
            ("action), reward, discount, inverted(next_value, transform)", "action), reward, discount, -next_value"),
        ),
    ),
    "losses.qv_max_error": Case(
        losses.qv_max_error,
        _draw_qv_max,
        lambda value, reward, discount, next_q: td_oracle(value, reward, discount, next_q.max(-1)),
        learns=("value",),
        edges=(_END, {"next_q": MASKED}),
        faults=(("jnp.max(next_q, axis=-1)", "jnp.mean(next_q, axis=-1)"),),
    ),
}
