"""Cases of the returns of action values.

The oracles add up, for each step by itself, what the later steps contribute: no recurrence.
"""

import numpy as np

from bellmax.returns import (
    expected_sarsa_lambda_returns,
    off_policy_returns,
    q_lambda_returns,
    q_sigma_returns,
    retrace_returns,
    sarsa_lambda_returns,
    tree_backup_returns,
    watkins_q_lambda_returns,
)
from cases import Case
from helpers import times


def lambda_sum(rewards, discounts, next_values, lambdas):
    """G_t = Σ_k (Π γλ) [R + γ (1 − λ) V(S')], the last step's λ counting as 0."""
    lambdas = np.broadcast_to(lambdas, rewards.shape).copy()
    lambdas[-1] = 0
    out = np.zeros_like(rewards)
    for t in range(len(rewards)):
        weight = np.ones_like(rewards[0])
        for k in range(t, len(rewards)):
            out[t] += times(rewards[k] + times(next_values[k], discounts[k] * (1 - lambdas[k])), weight)
            weight = weight * discounts[k] * lambdas[k]
    return out


def off_policy_sum(rewards, discounts, next_values, next_q, traces, lambda_):
    """G_t = Σ_k (Π γλc) [R + γ V(S')] − Σ_k (Π γλc up to the next) Q(S', A')."""
    lambdas = np.broadcast_to(lambda_, rewards.shape)
    out = np.zeros_like(rewards)
    for t in range(len(rewards)):
        weight = np.ones_like(rewards[0])
        for k in range(t, len(rewards)):
            out[t] += times(rewards[k] + times(next_values[k], discounts[k]), weight)
            weight = times(traces[k], weight * discounts[k] * lambdas[k])
            if k + 1 < len(rewards):
                out[t] -= times(next_q[k], weight)
    return out


def pick(next_q, next_action):
    out = np.empty(next_action.shape)
    for index in np.ndindex(next_action.shape):
        out[index] = next_q[index][next_action[index]]
    return out


def expectation(next_q, next_probs):
    return sum(times(next_q[..., a], next_probs[..., a]) for a in range(next_q.shape[-1]))


def retrace_sum(rewards, discounts, next_values, next_q, next_log_ratio, lambda_):
    traces = np.minimum(1, np.exp(next_log_ratio))
    return off_policy_sum(rewards, discounts, next_values, next_q, traces, lambda_)


def watkins_sum(rewards, discounts, next_q, next_action, lambda_):
    greedy = pick(next_q, next_action) == next_q.max(-1)
    return lambda_sum(rewards, discounts, next_q.max(-1), np.where(greedy, lambda_, 0))


def tree_backup_loop(rewards, discounts, next_q, next_action, next_probs, lambda_):
    """Equation 7.16: the actions not taken by their values, the taken one by its return."""
    lambdas = np.broadcast_to(lambda_, rewards.shape)
    out = np.zeros_like(rewards)
    for index in np.ndindex(rewards.shape[1:]):
        for t in reversed(range(len(rewards))):
            at = (t, *index)
            target = 0.0
            for a, (q, prob) in enumerate(zip(next_q[at], next_probs[at], strict=True)):
                taken = a == next_action[at] and t + 1 < len(rewards)
                value = times(q, 1 - lambdas[at]) + times(out[(t + 1, *index)], lambdas[at]) if taken else q
                target += times(value, prob)
            out[at] = rewards[at] + times(target, discounts[at])
    return out


def q_sigma_sum(rewards, discounts, next_q, next_action, next_probs, next_log_ratio, sigma, lambda_):
    traces = sigma * np.exp(next_log_ratio) + (1 - sigma) * pick(next_probs, next_action)
    values = expectation(next_q, next_probs)
    return off_policy_sum(rewards, discounts, values, pick(next_q, next_action), traces, lambda_)


def _steps(rng, batch, time=6):
    shape = (time, *batch)
    discounts = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0.5, 1, shape))
    lambdas = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0, 1, shape))
    return {"rewards": rng.normal(size=shape), "discounts": discounts, "lambda_": lambdas}


def _draw_traces(rng, batch):
    drawn = _steps(rng, batch)
    shape = drawn["rewards"].shape
    return {**drawn, "next_values": rng.normal(size=shape), "next_q": rng.normal(size=shape)}


def _draw_off_policy(rng, batch):
    drawn = _draw_traces(rng, batch)
    return {**drawn, "traces": rng.uniform(0, 2, drawn["rewards"].shape)}


def _draw_retrace(rng, batch):
    drawn = _draw_traces(rng, batch)
    return {**drawn, "next_log_ratio": rng.normal(size=drawn["rewards"].shape)}


def _draw_q(rng, batch, actions=3):
    drawn = _steps(rng, batch)
    return {**drawn, "next_q": rng.normal(size=(*drawn["rewards"].shape, actions))}


def _draw_actions(rng, batch):
    drawn = _draw_q(rng, batch)
    shape = drawn["rewards"].shape
    greedy = rng.uniform(size=shape) < 0.6
    return {**drawn, "next_action": np.where(greedy, drawn["next_q"].argmax(-1), rng.integers(0, 3, shape))}


def _draw_probs(rng, batch):
    drawn = _draw_q(rng, batch)
    return {**drawn, "next_probs": rng.dirichlet(np.ones(3), drawn["rewards"].shape)}


def _draw_tree(rng, batch):
    return {**_draw_actions(rng, batch), "next_probs": _draw_probs(rng, batch)["next_probs"]}


def _draw_sigma(rng, batch):
    drawn = _draw_tree(rng, batch)
    shape = drawn["rewards"].shape
    sigmas = np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1)
    return {**drawn, "next_log_ratio": rng.normal(size=shape), "sigma": sigmas}


_LAMBDAS = ({"lambda_": 0.0}, {"lambda_": 1.0}, {"discounts": 1.0})
_Q_EDGES = (*_LAMBDAS, {"discounts": 0.0, "next_q": -np.inf}, {"discounts": 0.0, "next_q": 1e30})
_RATIOS = ({"next_log_ratio": 300.0}, {"next_log_ratio": -300.0}, {"next_log_ratio": np.inf})

CASES = {
    "returns.off_policy_returns": Case(
        off_policy_returns,
        _draw_off_policy,
        off_policy_sum,
        axis=1,
        edges=(
            *_Q_EDGES,
            {"discounts": 0.0, "next_values": np.inf},
            {"discounts": 0.0, "traces": np.inf},
            {"traces": 0.0, "next_q": np.inf},
            {"lambda_": 0.0, "traces": np.nan, "next_q": np.nan},
        ),
        faults=(
            ("later_return - next_q", "later_return - next_value"),
            ("multiply_no_nan(trace, discount * lambda_)", "multiply_no_nan(trace, discount)"),
            ("multiply_no_nan(trace, discount * lambda_)", "trace * discount * lambda_"),
            (".at[-1].set(0)", ""),
        ),
    ),
    "returns.retrace_returns": Case(
        retrace_returns,
        _draw_retrace,
        retrace_sum,
        axis=1,
        edges=(*_Q_EDGES, *_RATIOS),
        faults=(
            ("truncated_ratio(next_log_ratio, 1.0)", "jnp.exp(next_log_ratio)"),
            ("truncated_ratio(next_log_ratio, 1.0)", "jnp.minimum(1.0, next_log_ratio)"),
        ),
    ),
    "returns.sarsa_lambda_returns": Case(
        sarsa_lambda_returns,
        _draw_actions,
        lambda rewards, discounts, next_q, next_action, lambda_: lambda_sum(
            rewards, discounts, pick(next_q, next_action), lambda_
        ),
        axis=1,
        edges=_Q_EDGES,
        faults=(
            (
                "take_action(without_terminal(next_q, discounts), next_action)",
                "jnp.max(without_terminal(next_q, discounts), -1)",
            ),
        ),
    ),
    "returns.expected_sarsa_lambda_returns": Case(
        expected_sarsa_lambda_returns,
        _draw_probs,
        lambda rewards, discounts, next_q, next_probs, lambda_: lambda_sum(
            rewards, discounts, expectation(next_q, next_probs), lambda_
        ),
        axis=1,
        edges=(*_Q_EDGES, {"next_q": [-np.inf, 1, 2], "next_probs": [0, 0.5, 0.5]}),
        faults=(
            ("expected_value(without_terminal(next_q, discounts), next_probs)", "jnp.max(next_q, axis=-1)"),
            ("expected_value(without_terminal(next_q, discounts), next_probs)", "expected_value(next_q, next_probs)"),
        ),
    ),
    "returns.q_lambda_returns": Case(
        q_lambda_returns,
        _draw_q,
        lambda rewards, discounts, next_q, lambda_: lambda_sum(rewards, discounts, next_q.max(-1), lambda_),
        axis=1,
        edges=_Q_EDGES,
        faults=(
            ("jnp.max(without_terminal(next_q, discounts), axis=-1)", "jnp.mean(next_q, axis=-1)"),
            ("jnp.max(without_terminal(next_q, discounts), axis=-1)", "jnp.max(next_q, axis=-1)"),
        ),
    ),
    "returns.watkins_q_lambda_returns": Case(
        watkins_q_lambda_returns,
        _draw_actions,
        watkins_sum,
        axis=1,
        edges=_Q_EDGES,
        faults=(
            ("jnp.where(taken == best, lambdas, 0)", "lambdas"),
            ("jnp.where(taken == best, lambdas, 0)", "(taken == best).astype(best.dtype)"),
            ("taken == best", "taken != best"),
        ),
    ),
    "returns.tree_backup_returns": Case(
        tree_backup_returns,
        _draw_tree,
        tree_backup_loop,
        axis=1,
        edges=_Q_EDGES,
        faults=(
            ("traces = take_action(next_probs, next_action)", "traces = jnp.max(next_probs, axis=-1)"),
            ("traces = take_action(next_probs, next_action)", "traces = jnp.ones(rewards.shape)"),
        ),
    ),
    "returns.q_sigma_returns": Case(
        q_sigma_returns,
        _draw_sigma,
        q_sigma_sum,
        axis=1,
        edges=(
            *_Q_EDGES,
            *({**ratio, "rewards": 0.0} for ratio in ({"next_log_ratio": 20.0}, {"next_log_ratio": -300.0})),
            {"sigma": 0.0, "next_log_ratio": np.inf},
            {"sigma": 1.0},
        ),
        faults=(
            ("mix(probs, ratio_of(next_log_ratio), sigmas)", "mix(ratio_of(next_log_ratio), probs, sigmas)"),
            ("ratio_of(next_log_ratio)", "jnp.minimum(1.0, ratio_of(next_log_ratio))"),
        ),
    ),
}
