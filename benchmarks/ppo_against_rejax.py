"""PPO on CartPole-v1 against Rejax 0.1.3: environment steps per CPU-second, and returns.

    python benchmarks/ppo_against_rejax.py

Timed are environment, collection and updates; compilation and evaluation are not. Both are evaluated alike: 128
episodes with the sampled policy.
"""

import argparse

from rejax_peer import bellmax_run, compare, rejax_run, serve

SETTINGS = {"num_envs": 64, "rollout_length": 128, "steps": 2_000_000}


def bellmax_worker():
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
    return bellmax_run(trainer, SETTINGS["steps"], explore=True)


def rejax_worker():
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
    return rejax_run(ppo, SETTINGS["num_envs"] * SETTINGS["rollout_length"], SETTINGS["steps"], 500, donate=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, help="runs of each library")
    parser.add_argument("--worker", choices=("bellmax", "rejax"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve({"bellmax": bellmax_worker, "rejax": rejax_worker}[options.worker]())
    else:
        compare(__file__, options.seeds)


if __name__ == "__main__":
    main()
