"""Cases of the λ-return, the n-step return and generalised advantages."""

import numpy as np

from bellmax.returns import gae, lambda_returns, n_step_returns
from cases import Case
from helpers import gae_loop, lambda_returns_loop, n_step_loop


def _draw(rng, batch, time=6):
    shape = (time, *batch)
    rewards, next_values = rng.normal(size=(2, *shape))
    discounts = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0.5, 1, shape))
    lambdas = np.where(rng.uniform(size=shape) < 0.2, 0.0, rng.uniform(0, 1, shape))
    return {"rewards": rewards, "discounts": discounts, "next_values": next_values, "lambda_": lambdas}


def _draw_gae(rng, batch):
    drawn = _draw(rng, batch)
    return {"values": rng.normal(size=drawn["rewards"].shape), **drawn}


_EDGES = ({"lambda_": 0.0}, {"lambda_": 1.0}, {"discounts": 0.0, "next_values": 1e30}, {"discounts": 1.0})

CASES = {
    "returns.lambda_returns": Case(
        lambda_returns,
        _draw,
        lambda rewards, discounts, next_values, lambda_: lambda_returns_loop(rewards, discounts, next_values, lambda_),
        axis=1,
        edges=_EDGES,
        faults=(("mix(next_value, later_return, lambda_)", "later_return"),),
    ),
    "returns.n_step_returns": Case(
        n_step_returns,
        _draw,
        lambda rewards, discounts, next_values, lambda_, n: n_step_loop(rewards, discounts, next_values, n, lambda_),
        static={"n": 3},
        axis=1,
        edges=_EDGES,
        faults=((".at[-1].set(0)", ""),),
    ),
    "returns.gae": Case(
        gae,
        _draw_gae,
        lambda values, rewards, discounts, next_values, lambda_: gae_loop(
            values, rewards, discounts, next_values, lambda_
        ),
        axis=1,
        edges=_EDGES,
        faults=(("lambda_) - values", "lambda_) - next_values"),),
    ),
}
