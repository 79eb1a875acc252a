"""The functional core against rlax 0.1.9 and distrax 0.1.9, function by function: time a call, and the ratio.

    python benchmarks/core_against_rlax.py [--rounds 30] [--only NAME]

Every pair gets the same inputs, is compiled by `jit`, and runs alternately in one process, so that what else the
machine does falls on both. A figure is the median over the rounds of the time a call took; the ratio is the median of
the rounds' ratios, of wall time and of CPU time. rlax is batched by its fastest `vmap`, along the second axis of
time-major arrays.
"""

import argparse
import statistics
import time

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import rlax

from bellmax import distributional, policies, returns

SIZES = ((128, 64), (128, 4096), (1024, 1024))


def trajectory(time_steps, batch):
    rng = np.random.default_rng(0)
    shape = (time_steps, batch)
    values, rewards = rng.normal(size=(2, *shape))
    values = np.concatenate([values, rng.normal(size=(1, batch))])
    discounts = np.where(rng.uniform(size=shape) < 0.02, 0.0, 0.99)
    log_ratio = rng.normal(0, 0.3, shape)
    return tuple(jnp.asarray(x, jnp.float32) for x in (values, rewards, discounts, log_ratio))


def over_batch(function, arguments):
    return jax.vmap(function, in_axes=(1,) * arguments, out_axes=1)


def pairs():
    """Yields a name, ours, theirs, and the arguments of both."""
    for time_steps, batch in SIZES:
        values, rewards, discounts, log_ratio = trajectory(time_steps, batch)
        size = f"{time_steps} x {batch}"
        now, following = values[:-1], values[1:]
        yield (
            f"gae {size}",
            lambda r, d, v, following: returns.gae(v[:-1], r, d, following, 0.95),
            lambda r, d, v, following: over_batch(
                lambda r, d, v: rlax.truncated_generalized_advantage_estimation(r, d, 0.95, v), 3
            )(r, d, v),
            (rewards, discounts, values, following),
        )
        yield (
            f"lambda_returns {size}",
            lambda r, d, v: returns.lambda_returns(r, d, v, 0.95),
            over_batch(lambda r, d, v: rlax.lambda_returns(r, d, v, 0.95), 3),
            (rewards, discounts, following),
        )
        yield (
            f"vtrace {size}",
            lambda v, w, r, d, x: jax.tree.leaves(returns.vtrace(v, r, d, w, x, 0.95)),
            over_batch(
                lambda v, w, r, d, x: rlax.vtrace_td_error_and_advantage(
                    v, w, r, d, jnp.exp(x), 0.95, stop_target_gradients=False
                ),
                5,
            ),
            (now, following, rewards, discounts, log_ratio),
        )
    rng = np.random.default_rng(0)
    for batch in (32, 256, 4096):
        support = jnp.linspace(-10.0, 10.0, 51)
        probs = jax.nn.softmax(jnp.asarray(rng.normal(size=(batch, 51)), jnp.float32))
        atoms = jnp.asarray(rng.normal(size=(batch, 1)), jnp.float32) + 0.99 * support[None]
        yield (
            f"categorical_projection {batch} x 51",
            distributional.categorical_projection,
            jax.vmap(rlax.categorical_l2_project, (0, 0, None)),
            (atoms, probs, support),
        )
    q = jnp.asarray(rng.normal(size=(4096, 18)), jnp.float32)
    key, eps = jax.random.key(0), jnp.float32(0.1)
    action = jnp.asarray(rng.integers(0, 18, 4096), jnp.int32)
    for name, ours, theirs in (
        ("epsilon_greedy", policies.epsilon_greedy, distrax.EpsilonGreedy),
        ("categorical", lambda q, eps: policies.categorical(q), lambda q, eps: distrax.Categorical(q)),
    ):
        yield (
            f"{name} sample 4096 x 18",
            lambda q, eps, key, make=ours: make(q, eps).sample(seed=key),
            lambda q, eps, key, make=theirs: make(q, eps).sample(seed=key),
            (q, eps, key),
        )
        yield (
            f"{name} log_prob 4096 x 18",
            lambda q, eps, action, make=ours: make(q, eps).log_prob(action),
            lambda q, eps, action, make=theirs: make(q, eps).log_prob(action),
            (q, eps, action),
        )


def calls_for(function, arguments, seconds=0.02):
    """Returns how many calls last about so long."""
    jax.block_until_ready(function(*arguments))
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return max(1, min(1000, int(seconds / (time.perf_counter() - start))))


def measure(function, arguments, calls):
    """Returns wall and CPU seconds a call, after one call that finds the caches as the other function left them."""
    jax.block_until_ready(function(*arguments))
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        result = function(*arguments)
    jax.block_until_ready(result)
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="", help="run the pairs whose name contains this")
    options = parser.parse_args()
    print("| | ours, μs CPU | theirs, μs CPU | ratio, CPU | ratio, wall |\n|---|---|---|---|---|")
    for name, ours, theirs, arguments in pairs():
        if options.only not in name:
            continue
        ours, theirs = jax.jit(ours), jax.jit(theirs)
        calls = calls_for(ours, arguments), calls_for(theirs, arguments)
        rounds = []
        for _ in range(options.rounds):
            rounds.append((measure(ours, arguments, calls[0]), measure(theirs, arguments, calls[1])))
        cpu = statistics.median(mine[1] / other[1] for mine, other in rounds)
        wall = statistics.median(mine[0] / other[0] for mine, other in rounds)
        mine = statistics.median(mine[1] for mine, _ in rounds) * 1e6
        other = statistics.median(other[1] for _, other in rounds) * 1e6
        print(f"| {name} | {mine:,.0f} | {other:,.0f} | {cpu:.2f} | {wall:.2f} |", flush=True)


if __name__ == "__main__":
    main()
