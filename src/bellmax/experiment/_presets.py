"""Tuned values, by algorithm and environment.

Each preset lists what differs from the algorithm's own defaults. `benchmarks/README.md` has the returns.
"""

from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = {
    "dqn": {"steps": 500_000, "num_envs": 8},
    "ppo": {"steps": 500_000, "num_envs": 4},
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "dqn": {
        # The hyperparameters of CleanRL, with double Q-learning and a rate that falls to zero.
        "CartPole-v1": {
            "learning_rate": "linear:2.5e-4:0",
            "epsilon": "linear:1:0.05:0.5",
            "huber_delta": 1000.0,  # values stay below 100: the squared error
            "capacity": 10_000,
            "warm_up": 10_000,
            "target_period": 62,
            "hidden_sizes": (120, 84),
        },
    },
    "ppo": {
        # The hyperparameters of PureJaxRL and CleanRL.
        "CartPole-v1": {"learning_rate": "linear:2.5e-4:0"},
        # Those of RL Baselines3 Zoo, without its state-dependent exploration, with a rate that falls to zero.
        "Pendulum-v1": {
            "steps": 100_000,
            "learning_rate": "linear:1e-3:0",
            "discount": 0.9,
            "entropy_coefficient": 0.0,
            "value_clip": False,
            "rollout_length": 1024,
            "epochs": 10,
            "minibatches": 64,
        },
    },
}
