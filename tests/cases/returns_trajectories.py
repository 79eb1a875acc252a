"""Cases of V-trace, upgoing and discounted returns, n-step transitions, and of cutting sequences."""

import jax.numpy as jnp
import numpy as np

from bellmax.returns import (
    discounted_returns,
    extract_subsequences,
    n_step_transitions,
    upgo_returns,
    valid_mask,
    vtrace,
)
from cases import Case
from helpers import times


def vtrace_sum(
    values,
    rewards,
    discounts,
    next_values,
    log_ratio,
    lambda_,
    rho_clip=1.0,
    c_clip=1.0,
    pg_rho_clip=1.0,
    alpha=1.0,
):
    """Equation 1 of the paper: V(S_t) plus the weighted sum of later errors, with λ and the true successor's value."""
    ratio = np.exp(log_ratio)
    rho, c, pg = (alpha * np.minimum(clip, ratio) + (1 - alpha) * ratio for clip in (rho_clip, c_clip, pg_rho_clip))
    lambdas = np.broadcast_to(lambda_, rewards.shape)
    time = len(rewards)
    returns, q = np.zeros_like(values), np.zeros_like(values)
    for s in range(time):
        returns[s] = values[s]
        weight = np.ones_like(values[0])
        for t in range(s, time):
            returns[s] += times(rho[t] * (rewards[t] + times(next_values[t], discounts[t]) - values[t]), weight)
            weight = weight * discounts[t] * lambdas[t] * c[t]
            if t + 1 < time:  # the next step starts at V(S_{t+1}) of `values`, which need not be this step's successor
                returns[s] += times(values[t + 1] - next_values[t], weight)
    for s in range(time):
        later = returns[s + 1] if s + 1 < time else next_values[s]
        target = times(later, lambdas[s]) + times(next_values[s], 1 - lambdas[s])
        q[s] = rewards[s] + times(target, discounts[s])
    return [returns, pg * (q - values), q]


def upgo_loop(values, rewards, discounts, next_values, lambda_):
    """Each step by itself: rewards are added up until the next action looks worse than its state."""
    lambdas = np.broadcast_to(lambda_, rewards.shape)
    out = np.zeros_like(values)
    for index in np.ndindex(values.shape[1:]):
        r, d, v, after, lam = (x[(slice(None), *index)] for x in (rewards, discounts, values, next_values, lambdas))
        for t in range(len(r)):
            total, weight, k = 0.0, 1.0, t
            while True:
                last = k + 1 == len(r)
                goes_on = not last and r[k + 1] + times(after[k + 1], d[k + 1]) >= v[k + 1]
                trace = lam[k] if goes_on else 0.0
                total += weight * (r[k] + float(times(after[k], d[k] * (1 - trace))))
                weight *= d[k] * trace
                k += 1
                if weight == 0:
                    break
            out[(t, *index)] = total
    return out


def discounted_sum(rewards, discounts, bootstrap_value=0.0):
    """Each step by itself: Σ_k (Π γ) R, and the value after the last."""
    out = np.zeros_like(rewards)
    for t in range(len(rewards)):
        weight = np.ones_like(rewards[0])
        for k in range(t, len(rewards)):
            out[t] += times(rewards[k], weight)
            weight = weight * discounts[k]
        out[t] += times(np.broadcast_to(bootstrap_value, weight.shape), weight)
    return out


def n_step_walk(rewards, discounts, n, lambda_=1.0):
    """Walks ahead from each step until n rewards are in or something ends."""
    lambdas = np.broadcast_to(lambda_, rewards.shape)
    reward, discount, steps = np.zeros_like(rewards), np.zeros_like(rewards), np.zeros(rewards.shape, int)
    for at in np.ndindex(rewards.shape):
        t, *rest = at
        product = 1.0
        for k in range(t, min(t + n, len(rewards))):
            now = (k, *rest)
            reward[at] += product * rewards[now]
            product *= discounts[now]
            steps[at] += 1
            if discounts[now] == 0 or lambdas[now] == 0:
                break
        discount[at] = product
    return [reward, discount, steps]


def mask_walk(terminated, truncated):
    out = np.zeros(terminated.shape)
    for index in np.ndindex(terminated.shape[1:]):
        for t in range(len(terminated)):
            out[(t, *index)] = 1
            if terminated[(t, *index)] or truncated[(t, *index)]:
                break
    return out


def cut_loop(sequences, starts, length):
    def cut(x):
        out = np.zeros((length, *starts.shape, *x.shape[starts.ndim :]))
        for at in np.ndindex(starts.shape):
            *batch, _ = at
            for k in range(length):
                out[(k, *at)] = x[(starts[at] + k, *batch)]
        return out

    return [cut(sequences[name]) for name in sorted(sequences)]


def _draw(rng, batch, time=6):
    shape = (time, *batch)
    rewards, next_values = rng.normal(size=(2, *shape))
    discounts = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0.5, 1, shape))
    lambdas = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0, 1, shape))
    return {"rewards": rewards, "discounts": discounts, "next_values": next_values, "lambda_": lambdas}


def _draw_values(rng, batch):
    drawn = _draw(rng, batch)
    return {"values": rng.normal(size=drawn["rewards"].shape), **drawn}


def _draw_vtrace(rng, batch):
    drawn = _draw_values(rng, batch)
    return {**drawn, "log_ratio": rng.normal(0, 0.7, drawn["rewards"].shape)}


def _draw_discounted(rng, batch):
    drawn = _draw(rng, batch)
    return {"rewards": drawn["rewards"], "discounts": drawn["discounts"], "bootstrap_value": rng.normal(size=batch)}


def _draw_steps(rng, batch):
    drawn = _draw(rng, batch)
    return {name: drawn[name] for name in ("rewards", "discounts", "lambda_")}


def _draw_mask(rng, batch):
    return {"terminated": rng.uniform(size=(6, *batch)) < 0.2, "truncated": rng.uniform(size=(6, *batch)) < 0.2}


def _draw_sequences(rng, batch):
    sequences = {"reward": rng.normal(size=(7, *batch)), "observation": rng.normal(size=(7, *batch, 2))}
    return {"sequences": sequences, "starts": rng.integers(0, 5, (*batch, 4))}


_EDGES = (
    {"lambda_": 0.0},
    {"lambda_": 1.0},
    {"discounts": 0.0, "next_values": np.inf},
    {"discounts": 0.0, "next_values": -np.inf},
    {"discounts": 1.0},
)
_RATIO = "mix(ratio_of(log_ratio), truncated_ratio(log_ratio, bound), jnp.asarray(alpha, log_ratio.dtype))"
_LEAKY = {"rho_clip": 1.3, "c_clip": 0.8, "pg_rho_clip": 1.6, "alpha": 0.75}

CASES = {
    "returns.vtrace": Case(
        vtrace,
        _draw_vtrace,
        vtrace_sum,
        axis=1,
        edges=(*_EDGES, {"log_ratio": 300.0}, {"log_ratio": -300.0}, {"log_ratio": np.inf}),
        faults=(
            ("later_return - next_value", "later_return - value"),
            ("rho * error", "error"),
            ("weight = multiply_no_nan(c, discount * lambda_)", "weight = c * discount"),
            ("multiply_no_nan(later_return, discount * lambda_)", "multiply_no_nan(later_return, discount)"),
            ("discount * (1 - lambda_)", "discount"),
            (_RATIO, "ratio_of(log_ratio)"),
            ('clipped("pg_rho_clip", pg_rho_clip) * (q - values)', "q - values"),
        ),
    ),
    "returns.vtrace: leaky, with three clips": Case(
        vtrace,
        _draw_vtrace,
        vtrace_sum,
        static=_LEAKY,
        axis=1,
        faults=(
            (
                "ratio_of(log_ratio), truncated_ratio(log_ratio, bound)",
                "truncated_ratio(log_ratio, bound), ratio_of(log_ratio)",
            ),
            (_RATIO, "truncated_ratio(log_ratio, bound)"),
            (
                'clipped("rho_clip", rho_clip), clipped("c_clip", c_clip)',
                'clipped("c", c_clip), clipped("rho", rho_clip)',
            ),
            ('clipped("pg_rho_clip", pg_rho_clip)', 'clipped("pg_rho_clip", rho_clip)'),
        ),
    ),
    "returns.upgo_returns": Case(
        upgo_returns,
        _draw_values,
        upgo_loop,
        learns=("rewards", "discounts", "next_values", "lambda_"),
        axis=1,
        edges=_EDGES,
        faults=(
            ("later_error >= 0", "later_error <= 0"),
            ("jnp.where(later_error >= 0, lambda_, 0)", "(later_error >= 0).astype(value.dtype)"),
            ("jnp.where(later_error >= 0, lambda_, 0)", "lambda_"),
            ("return (this_return, error)", "return (this_return, later_error)"),
            ("next_values = without_terminal(next_values, discounts)", "pass"),
        ),
    ),
    "returns.discounted_returns": Case(
        discounted_returns,
        _draw_discounted,
        discounted_sum,
        axis=1,
        axes={"bootstrap_value": 0},
        edges=({"discounts": 0.0, "bootstrap_value": np.inf}, {"discounts": 1.0}),
        faults=(
            ("multiply_no_nan(later_return, discount)", "later_return"),
            ("multiply_no_nan(later_return, discount)", "later_return * discount"),
            ("jnp.asarray(bootstrap_value, rewards.dtype)", "jnp.zeros((), rewards.dtype)"),
        ),
    ),
    "returns.n_step_transitions": Case(
        n_step_transitions,
        _draw_steps,
        n_step_walk,
        learns=("rewards", "discounts"),
        hides=("lambda_",),
        static={"n": 3},
        axis=1,
        edges=({"lambda_": 0.0}, {"discounts": 0.0}, {"lambda_": 1.0, "discounts": 1.0}),
        faults=(
            ("jnp.asarray(lambda_) != 0", "jnp.asarray(lambda_) >= 0"),
            (".at[-1].set(False)", ""),
            ("jnp.where(untruncated, discount, 1)", "discount"),
            ("jnp.where(untruncated, reward, 0)", "reward"),
            ("jnp.where(goes_on, steps, 0)", "jnp.where(untruncated, steps, 0)"),
            ("min(n, rewards.shape[0]) - 1", "min(n, rewards.shape[0])"),
        ),
    ),
    "returns.extract_subsequences": Case(
        extract_subsequences,
        _draw_sequences,
        cut_loop,
        static={"length": 3},
        axis=1,
        axes={"starts": 0},
        edges=({"starts": 0}, {"starts": 4}),
        faults=(("+ first[None]", "- first[None] + latest"),),
    ),
    "returns.valid_mask": Case(
        valid_mask,
        _draw_mask,
        mask_walk,
        axis=1,
        wide=True,
        observe=lambda mask: jnp.asarray(mask, float),
        faults=(
            ("jnp.cumsum(ended, axis=0) == ended", "jnp.cumsum(ended, axis=0) == 0"),
            ("terminated | truncated", "terminated"),
        ),
    ),
}

EXEMPT = {
    "returns.sample_start_indices": "draws random numbers: tests/returns/test_sequences.py",
    "returns.transformed": "takes a function, no arrays: tests/returns/test_transformed.py",
}
