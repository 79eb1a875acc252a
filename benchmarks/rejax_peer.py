"""Rejax beside Bellmax: each in a process of its own, compiled once, their runs in turn.

So what else the machine does falls on both. Rejax needs gymnax 0.0.9: it gets a virtual environment under
`benchmarks/.peers`, with the jax that is installed here.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PEER = Path(__file__).parent / ".peers" / "rejax"


def bellmax_run(trainer, steps, *, explore):
    """Returns what trains one seed of ours and evaluates it over 128 episodes."""
    import jax
    import jax.numpy as jnp

    from bellmax import training

    init = jax.jit(trainer.init)
    chunk = jax.jit(lambda state, calls: training.train_chunk(trainer, state, calls)[0], donate_argnums=0)
    compiled = chunk.lower(init(jax.random.key(0)), 1).compile()
    calls = steps // trainer.steps_per_call

    @jax.jit
    def evaluate(state, key):
        episodes = training.evaluate(
            trainer.algorithm,
            trainer.environment,
            state.shared.algorithm,
            step=jnp.zeros(()),
            key=key,
            episodes=128,
            explore=explore,
        )
        return episodes.episode_return.mean()

    return _run(init, lambda state: compiled(state, calls), evaluate, calls * trainer.steps_per_call, jax.random.key)


def rejax_run(algorithm, steps_per_iteration, steps, limit, *, donate):
    """Returns what trains one seed of theirs and evaluates it over 128 episodes."""
    import jax

    iterations = steps // steps_per_iteration

    def train(state):
        return jax.lax.fori_loop(0, iterations, lambda _, state: algorithm.train_iteration(state), state)

    init = jax.jit(algorithm.init_state)
    compiled = jax.jit(train, donate_argnums=(0,) if donate else ()).lower(init(jax.random.PRNGKey(0))).compile()

    @jax.jit
    def evaluate(state, key):
        from rejax.evaluate import evaluate as play

        _, returns = play(algorithm.make_act(state), key, algorithm.env, algorithm.env_params, 128, limit)
        return returns.mean()

    return _run(init, compiled, evaluate, iterations * steps_per_iteration, jax.random.PRNGKey)


def _run(init, train, evaluate, steps, make_key):
    import jax

    def run(seed):
        state = jax.block_until_ready(init(make_key(seed)))
        cpu, wall = time.process_time(), time.perf_counter()
        state = jax.block_until_ready(train(state))
        spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
        return spent | {"steps": steps, "return": float(evaluate(state, make_key(seed + 1000)))}

    return run


def serve(run):
    """Answers each line, a seed, with one line of figures."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(int(line))), flush=True)


def compare(script: str, seeds: int, words: tuple[str, ...] = ()) -> None:
    """Lets a script's workers run seed by seed in turn, and prints what they did."""
    pythons = {"bellmax": sys.executable, "rejax": make_peer()}
    commands = {name: [python, script, "--worker", name, *words] for name, python in pythons.items()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    for worker in workers.values():
        assert worker.stdout.readline().strip() == "ready"
    rows = {name: [] for name in workers}
    for seed in range(seeds):
        for name in list(workers)[:: 1 if seed % 2 == 0 else -1]:
            workers[name].stdin.write(f"{seed}\n")
            workers[name].stdin.flush()
            row = json.loads(workers[name].stdout.readline())
            rows[name].append(row)
            rate = row["steps"] / row["cpu"]
            print(f"seed {seed} {name:8} {rate:9,.0f} steps/CPU-s, return {row['return']:7.1f}", flush=True)
    for worker in workers.values():
        worker.stdin.close()
        worker.wait()
    show(rows, seeds)


def show(rows: dict[str, list[dict]], seeds: int) -> None:
    """Prints medians, ratios and returns."""
    cpu, wall = (
        {name: np.array([r["steps"] / r[clock] for r in rows[name]]) for name in rows} for clock in ("cpu", "wall")
    )
    returns = {name: np.array([row["return"] for row in rows[name]]) for name in rows}
    for name in rows:
        print(
            f"{name:8} median {np.median(cpu[name]):9,.0f} steps/CPU-s, {np.median(wall[name]):9,.0f} steps/wall-s; "
            f"return {returns[name].mean():.1f} ± {returns[name].std(ddof=min(1, seeds - 1)):.1f} (sd of {seeds} seeds)"
        )
    ratios = cpu["bellmax"] / cpu["rejax"]
    draws = np.random.default_rng(0)
    means = {name: returns[name][draws.integers(0, seeds, (10_000, seeds))].mean(axis=1) for name in rows}
    low, high = np.quantile(means["bellmax"] - means["rejax"], [0.025, 0.975])
    print(f"steps per CPU-second, ratio: median {np.median(ratios):.2f}, {ratios.min():.2f} to {ratios.max():.2f}")
    print(f"steps per wall-second, ratio: median {np.median(wall['bellmax'] / wall['rejax']):.2f}")
    difference = returns["bellmax"].mean() - returns["rejax"].mean()
    print(f"difference of returns: {difference:.1f}, 95 % interval {low:.1f} to {high:.1f}")


def make_peer() -> Path:
    """Makes Rejax's environment, once."""
    python = PEER / "bin" / "python"
    if not python.exists():
        import jax

        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        wanted = ["rejax==0.1.3", "gymnax==0.0.9", f"jax=={jax.__version__}", "six"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python
