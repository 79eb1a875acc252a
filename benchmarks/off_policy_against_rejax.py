"""DQN on CartPole-v1 and SAC on Pendulum-v1 against Rejax 0.1.3: environment steps per CPU-second, and returns.

    python benchmarks/off_policy_against_rejax.py

As `ppo_against_rejax.py`: each library in a process of its own, compiled once, their runs in turn; timed are
environment, collection, replay and updates. `dqn` has the sizes of Rejax's own configuration of CartPole: 10
environments, 5 updates of 100 transitions for each 10 steps, 50,000 kept. Rejax draws without replacement, which costs
it the more the larger its memory is; in `dqn-small` it keeps 10,000 and learns once for each 10 steps. `sac` learns
once a step from 256 of 10,000 transitions, with networks of 64-64.
"""

import argparse
import subprocess
import sys

from ppo_against_rejax import Worker, make_peer, serve, timer

SETTINGS = {
    "dqn": {
        "environment": "CartPole-v1",
        "num_envs": 10,
        "steps": 100_000,
        "updates": 5,
        "batch_size": 100,
        "capacity": 50_000,
        "warm_up": 5_000,
        "rate": 1e-3,
        "target_step": 0.02,
        "limit": 500,
    },
    "sac": {
        "environment": "Pendulum-v1",
        "num_envs": 1,
        "steps": 10_000,
        "updates": 1,
        "batch_size": 256,
        "capacity": 10_000,
        "warm_up": 256,
        "rate": 1e-3,
        "target_step": 0.02,
        "limit": 200,
    },
}
SETTINGS["dqn-small"] = SETTINGS["dqn"] | {"updates": 1, "capacity": 10_000}


def bellmax_worker(name):
    import jax
    import jax.numpy as jnp

    from bellmax import algorithms, envs, training

    sizes = SETTINGS[name]
    shared = {key: sizes[key] for key in ("updates", "batch_size", "capacity", "warm_up", "target_step")}
    shared |= {"hidden_sizes": (64, 64), "activation": "silu", "max_gradient_norm": 1e6}
    if name == "sac":
        rates = ("actor_learning_rate", "critic_learning_rate", "temperature_learning_rate")
        algorithm = algorithms.SAC(**shared, **dict.fromkeys(rates, sizes["rate"]))
    else:
        algorithm = algorithms.DQN(
            learning_rate=sizes["rate"],
            epsilon=lambda step: jnp.maximum(1 - 0.95 * step / (0.5 * sizes["steps"]), 0.05),
            target_period=sizes["updates"],  # Rejax moves its target once for each round of updates
            huber_delta=1e6,
            **shared,
        )
    trainer = training.Trainer(algorithm, envs.make(sizes["environment"]), sizes["num_envs"])
    init = jax.jit(trainer.init)
    chunk = jax.jit(lambda state, calls: training.train_chunk(trainer, state, calls)[0], donate_argnums=0)
    compiled = chunk.lower(init(jax.random.key(0)), 1).compile()
    calls = sizes["steps"] // trainer.steps_per_call

    @jax.jit
    def evaluate(algorithm_state, key):
        episodes = training.evaluate(
            algorithm, trainer.environment, algorithm_state, step=jnp.zeros(()), key=key, episodes=128
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


def rejax_worker(name):
    import jax
    import rejax

    sizes = SETTINGS[name]
    shared = {
        "env": sizes["environment"],
        "num_envs": sizes["num_envs"],
        "buffer_size": sizes["capacity"],
        "fill_buffer": sizes["warm_up"],
        "batch_size": sizes["batch_size"],
        "num_epochs": sizes["updates"],
        "learning_rate": sizes["rate"],
        "max_grad_norm": 1e6,
        "polyak": 1 - sizes["target_step"],
        "total_timesteps": sizes["steps"],
        "eval_freq": sizes["steps"],
        "skip_initial_evaluation": True,
        "agent_kwargs": {"activation": "swish"},
    }
    algorithm = rejax.SAC.create(**shared) if name == "sac" else rejax.DQN.create(**shared, exploration_fraction=0.5)
    iterations = sizes["steps"] // sizes["num_envs"]

    def train(state):
        return jax.lax.fori_loop(0, iterations, lambda _, state: algorithm.train_iteration(state), state)

    init = jax.jit(algorithm.init_state)
    # Its target is its network at first, in the same memory: that cannot be donated.
    compiled = jax.jit(train).lower(init(jax.random.PRNGKey(0))).compile()

    @jax.jit
    def evaluate(state, key):
        from rejax.evaluate import evaluate as play

        _, returns = play(algorithm.make_act(state), key, algorithm.env, algorithm.env_params, 128, sizes["limit"])
        return returns.mean()

    def run(seed):
        state = jax.block_until_ready(init(jax.random.PRNGKey(seed)))
        timed = timer()
        state = jax.block_until_ready(compiled(state))
        return timed() | {
            "steps": iterations * sizes["num_envs"],
            "return": float(evaluate(state, jax.random.PRNGKey(seed + 1000))),
        }

    return run


class Alternating(Worker):
    """A library in a process of its own, with one of the settings."""

    def __init__(self, python, library, name):
        command = [python, __file__, "--worker", library, "--only", name]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().strip() == "ready"


def compare(name: str, seeds: int) -> None:
    import numpy as np

    pythons = {"bellmax": sys.executable, "rejax": make_peer()}
    workers = {library: Alternating(python, library, name) for library, python in pythons.items()}
    rows = {library: [] for library in workers}
    for seed in range(seeds):
        for library in list(workers)[:: 1 if seed % 2 == 0 else -1]:
            row = workers[library].run(seed)
            rows[library].append(row)
            rate = row["steps"] / row["cpu"]
            print(f"{name} seed {seed} {library:8} {rate:9,.0f} steps/CPU-s, return {row['return']:7.1f}", flush=True)
    speed = {library: np.array([row["steps"] / row["cpu"] for row in rows[library]]) for library in rows}
    for library in rows:
        returns = np.array([row["return"] for row in rows[library]])
        print(
            f"{name} {library:8} median {np.median(speed[library]):9,.0f} steps/CPU-s; "
            f"return {returns.mean():.1f} ± {returns.std(ddof=min(1, seeds - 1)):.1f} (sd of {seeds} seeds)"
        )
    ratios = speed["bellmax"] / speed["rejax"]
    print(f"{name}: steps per CPU-second, ratio {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})")
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="runs of each library")
    parser.add_argument("--only", choices=tuple(SETTINGS), help="one of the settings; all without")
    parser.add_argument("--worker", choices=("bellmax", "rejax"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve({"bellmax": bellmax_worker, "rejax": rejax_worker}[options.worker](options.only))
        return
    for name in [options.only] if options.only else SETTINGS:
        compare(name, options.seeds)


if __name__ == "__main__":
    main()
