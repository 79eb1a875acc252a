"""PPO on CartPole-v1 against Rejax 0.1.3: environment steps per CPU-second, and returns.

    python benchmarks/ppo_against_rejax.py

Each library runs in a process of its own, compiled once; their runs alternate, seed by seed, so that what else the
machine does falls on both. Timed are environment, collection and updates; compilation and evaluation are not. Both are
evaluated alike: 128 episodes with the sampled policy. Rejax needs gymnax 0.0.9, so the script makes it a virtual
environment under `benchmarks/.peers` with the jax that is installed here.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

PEER = Path(__file__).parent / ".peers" / "rejax"
SETTINGS = {"num_envs": 64, "rollout_length": 128, "steps": 2_000_000}


def bellmax_worker():
    import jax
    import jax.numpy as jnp

    from bellmax import algorithms, envs, training

    ppo = algorithms.PPO(
        learning_rate=2.5e-4,
        rollout_length=SETTINGS["rollout_length"],
        epochs=4,
        minibatches=4,
        max_gradient_norm=1e6,  # Rejax clips each element, not the norm: with Adam that hardly bounds a step
        adam_epsilon=1e-8,
        hidden_sizes=(64, 64),
        activation="tanh",
    )
    trainer = training.Trainer(ppo, envs.make("CartPole-v1"), SETTINGS["num_envs"])
    init = jax.jit(trainer.init)
    chunk = jax.jit(lambda state, calls: training.train_chunk(trainer, state, calls)[0], donate_argnums=0)
    compiled = chunk.lower(init(jax.random.key(0)), 1).compile()
    calls = SETTINGS["steps"] // trainer.steps_per_call

    @jax.jit
    def evaluate(algorithm_state, key):
        episodes = training.evaluate(
            ppo, trainer.environment, algorithm_state, step=jnp.zeros(()), key=key, episodes=128, explore=True
        )
        return episodes.episode_return.mean()

    def run(seed):
        state = jax.block_until_ready(init(jax.random.key(seed)))
        timed = timer()
        state = jax.block_until_ready(compiled(state, calls))
        return timed() | {
            "steps": calls * trainer.steps_per_call,
            "return": float(evaluate(state.shared.algorithm, jax.random.key(seed + 1000))),
        }

    return run


def rejax_worker():
    import jax
    from rejax import PPO

    ppo = PPO.create(
        env="CartPole-v1",
        num_envs=SETTINGS["num_envs"],
        num_steps=SETTINGS["rollout_length"],
        num_epochs=4,
        num_minibatches=4,
        learning_rate=2.5e-4,
        max_grad_norm=0.5,
        total_timesteps=SETTINGS["steps"],
        eval_freq=SETTINGS["steps"],
        gamma=0.99,
        gae_lambda=0.95,
        clip_eps=0.2,
        ent_coef=0.01,
        vf_coef=0.5,
        skip_initial_evaluation=True,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (64, 64)},
    )
    iterations = SETTINGS["steps"] // (SETTINGS["num_envs"] * SETTINGS["rollout_length"])

    def train(state):
        return jax.lax.fori_loop(0, iterations, lambda _, state: ppo.train_iteration(state), state)

    init = jax.jit(ppo.init_state)
    compiled = jax.jit(train, donate_argnums=0).lower(init(jax.random.PRNGKey(0))).compile()

    @jax.jit
    def evaluate(state, key):
        from rejax.evaluate import evaluate as play

        _, returns = play(ppo.make_act(state), key, ppo.env, ppo.env_params, 128, 500)
        return returns.mean()

    def run(seed):
        state = jax.block_until_ready(init(jax.random.PRNGKey(seed)))
        timed = timer()
        state = jax.block_until_ready(compiled(state))
        return timed() | {
            "steps": iterations * SETTINGS["num_envs"] * SETTINGS["rollout_length"],
            "return": float(evaluate(state, jax.random.PRNGKey(seed + 1000))),
        }

    return run


def timer():
    """Starts a clock; calling the result gives CPU and wall seconds since."""
    cpu, wall = time.process_time(), time.perf_counter()
    return lambda: {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def serve(run):
    """Answers each line, a seed, with one line of figures."""
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(int(line))), flush=True)


class Worker:
    """A library in a process of its own."""

    def __init__(self, python: Path, name: str):
        self.process = subprocess.Popen(
            [python, __file__, "--worker", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline().strip() == "ready"

    def run(self, seed: int) -> dict:
        """Trains one seed and returns its figures."""
        self.process.stdin.write(f"{seed}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def make_peer() -> Path:
    """Makes Rejax's environment, once."""
    python = PEER / "bin" / "python"
    if not python.exists():
        import jax

        subprocess.run([sys.executable, "-m", "venv", PEER], check=True)
        wanted = ["rejax==0.1.3", "gymnax==0.0.9", f"jax=={jax.__version__}", "six"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


def compare(seeds: int) -> None:
    import numpy as np

    workers = {"bellmax": Worker(sys.executable, "bellmax"), "rejax": Worker(make_peer(), "rejax")}
    rows = {name: [] for name in workers}
    for seed in range(seeds):
        order = list(workers) if seed % 2 == 0 else list(workers)[::-1]
        for name in order:
            row = workers[name].run(seed)
            rows[name].append(row)
            rate = row["steps"] / row["cpu"]
            print(f"seed {seed} {name:8} {rate:9,.0f} steps/CPU-s, return {row['return']:6.1f}", flush=True)
    speed = {name: np.array([row["steps"] / row["cpu"] for row in rows[name]]) for name in rows}
    wall = {name: np.array([row["steps"] / row["wall"] for row in rows[name]]) for name in rows}
    returns = {name: np.array([row["return"] for row in rows[name]]) for name in rows}
    for name in rows:
        print(
            f"{name:8} median {np.median(speed[name]):9,.0f} steps/CPU-s, {np.median(wall[name]):9,.0f} steps/wall-s; "
            f"return {returns[name].mean():.1f} ± {returns[name].std(ddof=1):.1f} (sd of {seeds} seeds)"
        )
    ratios = speed["bellmax"] / speed["rejax"]
    draws = np.random.default_rng(0)
    means = {name: returns[name][draws.integers(0, seeds, (10_000, seeds))].mean(axis=1) for name in rows}
    low, high = np.quantile(means["bellmax"] - means["rejax"], [0.025, 0.975])
    print(f"steps per CPU-second, ratio: median {np.median(ratios):.2f}, {ratios.min():.2f} to {ratios.max():.2f}")
    print(f"steps per wall-second, ratio: median {np.median(wall['bellmax'] / wall['rejax']):.2f}")
    difference = returns["bellmax"].mean() - returns["rejax"].mean()
    print(f"difference of returns: {difference:.1f}, 95 % interval {low:.1f} to {high:.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each library")
    parser.add_argument("--worker", choices=("bellmax", "rejax"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve({"bellmax": bellmax_worker, "rejax": rejax_worker}[options.worker]())
    else:
        compare(options.seeds)


if __name__ == "__main__":
    main()
