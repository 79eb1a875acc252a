"""Cases of Q-learning and its kin: double, clipped, persistent, with a wider action gap."""

import numpy as np

from bellmax import losses
from cases import Case
from cases.losses_value_errors import ACTIONS, MASKED, SYMLOG, bootstrapped, draw_q, each, greedy_oracle


def clipped_oracle(q, action, reward, discount, next_q, next_q_selector=None):
    def one(i):
        worst = [min(member[i][a] for member in next_q) for a in range(ACTIONS)]
        selector = worst if next_q_selector is None else next_q_selector[i]
        best = max(range(ACTIONS), key=lambda a: selector[a])
        return bootstrapped(reward[i], discount[i], worst[best]) - q[i][action[i]]

    return each(reward, one)


def _draw_members(rng, batch, *more):
    return {**draw_q(rng, batch, *more), "next_q": rng.normal(size=(3, *batch, ACTIONS))}


def persistent_oracle(q, action, reward, discount, next_q, beta):
    def one(i):
        mixed = (1 - beta) * max(next_q[i]) + beta * next_q[i][action[i]]
        return bootstrapped(reward[i], discount[i], mixed) - q[i][action[i]]

    return each(reward, one)


def advantage_oracle(q, action, reward, discount, next_q, target_q, beta):
    plain = greedy_oracle(q, action, reward, discount, next_q)
    return plain - each(reward, lambda i: beta * (max(target_q[i]) - target_q[i][action[i]]))


def persistent_advantage_oracle(q, action, reward, discount, next_q, target_q, beta):
    """The larger of two errors, as the paper's experiments have it; the terminal value of any action is 0."""
    plain = greedy_oracle(q, action, reward, discount, next_q)
    lowered = advantage_oracle(q, action, reward, discount, next_q, target_q, beta)
    ended = np.where((discount == 0)[..., None], 0.0, next_q)
    other = plain - each(reward, lambda i: beta * (max(ended[i]) - ended[i][action[i]]))
    return np.maximum(lowered, other)


_END = {"discount": 0.0, "next_q": -np.inf}
_EDGES = (_END, {"discount": 0.0, "next_q": np.nan}, {"next_q": MASKED}, {"next_q": 1e30}, {"reward": 0.0})
_BETA = {"beta": 0.3}

CASES = {
    "losses.q_learning_error": Case(
        losses.q_learning_error,
        draw_q,
        greedy_oracle,
        learns=("q",),
        edges=_EDGES,
        faults=(("jnp.max(next_q, axis=-1)", "jnp.min(next_q, axis=-1)"),),
    ),
    "losses.q_learning_error: transform": Case(
        losses.q_learning_error,
        draw_q,
        greedy_oracle,
        learns=("q",),
        static={"transform": SYMLOG},
        edges=_EDGES[:3],
        faults=(("inverted(jnp.max(next_q, axis=-1), transform)", "jnp.max(next_q, axis=-1)"),),
    ),
    "losses.double_q_learning_error": Case(
        losses.double_q_learning_error,
        lambda rng, batch: draw_q(rng, batch, "next_q_selector"),
        greedy_oracle,
        learns=("q",),
        edges=(*_EDGES[:2], {"next_q": MASKED, "next_q_selector": MASKED}),
        faults=(
            ("take_action(next_q, greedy_action(next_q_selector", "take_action(next_q_selector, greedy_action(next_q"),
        ),
    ),
    "losses.double_q_learning_error: transform": Case(
        losses.double_q_learning_error,
        lambda rng, batch: draw_q(rng, batch, "next_q_selector"),
        greedy_oracle,
        learns=("q",),
        static={"transform": SYMLOG},
        edges=(_END,),
    ),
    "losses.clipped_double_q_learning_error": Case(
        losses.clipped_double_q_learning_error,
        _draw_members,
        clipped_oracle,
        learns=("q",),
        axes={"next_q": 1},
        edges=_EDGES,
        faults=(
            ("pessimistic = ensemble_min(next_q)", "pessimistic = jnp.mean(next_q, axis=0)"),
            ("pessimistic if next_q_selector", "next_q[0] if next_q_selector"),
        ),
    ),
    "losses.clipped_double_q_learning_error: selector": Case(
        losses.clipped_double_q_learning_error,
        lambda rng, batch: _draw_members(rng, batch, "next_q_selector"),
        clipped_oracle,
        learns=("q",),
        axes={"next_q": 1},
        edges=(*_EDGES[:2], {"next_q": MASKED, "next_q_selector": MASKED}),
        faults=(("pessimistic if next_q_selector is None else next_q_selector", "pessimistic"),),
    ),
    "losses.persistent_q_learning_error": Case(
        losses.persistent_q_learning_error,
        draw_q,
        persistent_oracle,
        learns=("q",),
        static=_BETA,
        edges=(_END, {"next_q": 1e30}),
        faults=(("mix(best, repeated, beta)", "mix(repeated, best, beta)"),),
    ),
    "losses.advantage_learning_error": Case(
        losses.advantage_learning_error,
        lambda rng, batch: draw_q(rng, batch, "target_q"),
        advantage_oracle,
        learns=("q",),
        static=_BETA,
        edges=(_END, {"target_q": MASKED, "action": 2}),
        faults=(
            ("reward - multiply_no_nan(_gap(target_q, action), beta)", "reward + beta * _gap(target_q, action)"),
            ("multiply_no_nan(_gap(target_q, action), beta)", "multiply_no_nan(_gap(q, action), beta)"),
        ),
    ),
    "losses.persistent_advantage_learning_error": Case(
        losses.persistent_advantage_learning_error,
        lambda rng, batch: draw_q(rng, batch, "target_q"),
        persistent_advantage_oracle,
        learns=("q",),
        static=_BETA,
        edges=(_END, {"target_q": MASKED, "next_q": MASKED, "action": 2}, {"next_q": MASKED, "action": 0}),
        faults=(
            ("jnp.minimum(_gap(", "jnp.maximum(_gap("),
            ("jnp.where(discount == 0, 0, _gap(next_q, action))", "_gap(next_q, action)"),
        ),
    ),
}
