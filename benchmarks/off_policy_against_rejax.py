"""DQN on CartPole-v1 and SAC on Pendulum-v1 against Rejax 0.1.3: environment steps per CPU-second, and returns.

    python benchmarks/off_policy_against_rejax.py

Timed are environment, collection, replay and updates; compilation and evaluation are not. `dqn` has the sizes of
Rejax's own configuration of CartPole: 10 environments, 5 updates of 100 transitions for each 10 steps, 50,000 kept.
Rejax draws without replacement, which costs it the more the larger its memory is; in `dqn-small` it keeps 10,000 and
learns once for each 10 steps. `sac` learns once a step from 256 of 10,000 transitions, with networks of 64-64.
"""

import argparse

from rejax_peer import bellmax_run, compare, rejax_run, serve

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
    return bellmax_run(trainer, sizes["steps"], explore=False)


def rejax_worker(name):
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
    # Its target is its network at first, in the same memory: that cannot be donated.
    return rejax_run(algorithm, sizes["num_envs"], sizes["steps"], sizes["limit"], donate=False)


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
        print(name, flush=True)
        compare(__file__, options.seeds, ("--only", name))


if __name__ == "__main__":
    main()
