"""Tuned values, by algorithm and environment.

Each preset lists what differs from the algorithm's own defaults. `benchmarks/README.md` has the returns.
"""

from typing import Any

DEFAULTS: dict[str, dict[str, Any]] = {
    "reinforce": {"steps": 500_000, "num_envs": 8},
    "pqn": {"steps": 500_000, "num_envs": 4},
    "impala": {"steps": 500_000, "num_envs": 8},
    "a2c": {"steps": 500_000, "num_envs": 8},
    "c51": {"steps": 500_000, "num_envs": 8},
    "dqn": {"steps": 500_000, "num_envs": 8},
    "iqn": {"steps": 500_000, "num_envs": 8},
    "ppo": {"steps": 500_000, "num_envs": 4},
    "qr-dqn": {"steps": 500_000, "num_envs": 8},
    "rainbow": {"steps": 500_000, "num_envs": 8},
    "gaussian-pg": {"steps": 500_000, "num_envs": 8},
    "recurrent-ppo": {"steps": 500_000, "num_envs": 8},
    "td": {"steps": 20_000, "num_envs": 1},
    "sac": {"steps": 20_000, "num_envs": 1},
    "td3": {"steps": 20_000, "num_envs": 1},
    "ddpg": {"steps": 20_000, "num_envs": 1},
    "tqc": {"steps": 20_000, "num_envs": 1},
    "discrete-sac": {"steps": 100_000, "num_envs": 4},
}

_MINATAR = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")

# The hyperparameters of PureJaxRL.
_PPO_MINATAR = {
    "steps": 10_000_000,
    "num_envs": 64,
    "learning_rate": "linear:5e-3:0",
    "minibatches": 8,
    "activation": "relu",
    "convolution": False,
}

# Those of purejaxql, without the convolution.
_PQN_MINATAR = {
    "steps": 10_000_000,
    "num_envs": 128,
    "learning_rate": "linear:5e-4:0",
    "epsilon": "linear:1:0.05:0.1",
    "rollout_length": 32,
    "epochs": 2,
    "minibatches": 32,
    "hidden_sizes": (128, 128),
    "convolution": False,
}

# Those of RL Baselines3 Zoo, with smaller networks, and without a temperature with an earlier start.
_PENDULUM = {"actor_learning_rate": 1e-3, "critic_learning_rate": 1e-3, "hidden_sizes": (64, 64)}
_SOFT_PENDULUM = _PENDULUM | {"temperature_learning_rate": 1e-3, "warm_up": 100}
_DETERMINISTIC_PENDULUM = _PENDULUM | {"discount": 0.98, "capacity": 200_000}

# A tenth of the usual steps: what is learned of each step, and that the discount looks as far as the episode is long,
# is what keeps all seeds at the top.
_VALUES_CARTPOLE = {
    "steps": 50_000,
    "num_envs": 4,
    "learning_rate": "linear:1e-3:0",
    "discount": 0.995,
    "epsilon": "linear:1:0.04:0.16",
    "n_step": 3,
    "target_period": 1,
    "target_step": 0.01,
    "rollout_length": 4,
    "updates": 8,
    "batch_size": 64,
    "capacity": 50_000,
    "hidden_sizes": (128, 128),
    "normalise_observations": True,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "reinforce": {},
    "pqn": {
        # The hyperparameters of CleanRL.
        "CartPole-v1": {
            "learning_rate": "linear:2.5e-4:0",
            "epsilon": "linear:1:0.05:0.5",
            "hidden_sizes": (120, 84),
        },
        **dict.fromkeys(_MINATAR, _PQN_MINATAR),
    },
    "impala": {},
    "a2c": {
        # The hyperparameters of RL Baselines3 Zoo.
        "CartPole-v1": {"entropy_coefficient": 0.0},
    },
    "c51": {
        # The hyperparameters of CleanRL, with a rate that falls to zero, n-step targets and normalised observations.
        "CartPole-v1": {
            "n_step": 3,
            "normalise_observations": True,
            "learning_rate": "linear:2.5e-4:0",
            "epsilon": "linear:1:0.05:0.5",
            "atoms": 101,
            "lowest_value": -100.0,
            "highest_value": 100.0,
            "capacity": 10_000,
            "warm_up": 10_000,
            "target_period": 62,
            "hidden_sizes": (120, 84),
        },
    },
    "dqn": {
        "CartPole-v1": _VALUES_CARTPOLE | {"huber_delta": 1000.0},  # values stay below 200: the squared error
        # The hyperparameters of RL Baselines3 Zoo, with smaller networks, observations normalised, and a falling rate.
        "Acrobot-v1": {
            "steps": 100_000,
            "num_envs": 4,
            "learning_rate": "linear:6.3e-4:0",
            "epsilon": "linear:1:0.1:0.12",
            "target_period": 250,
            "updates": 4,
            "capacity": 50_000,
            "hidden_sizes": (128, 128),
            "normalise_observations": True,
        },
        # Its sizes too, with n-step targets, normalised observations, a lower rate and a target that follows faster.
        "MountainCar-v0": {
            "steps": 120_000,
            "num_envs": 1,
            "n_step": 3,
            "normalise_observations": True,
            "learning_rate": 1e-3,
            "epsilon": "linear:1:0.07:0.2",
            "target_period": 100,
            "rollout_length": 16,
            "updates": 8,
            "batch_size": 128,
            "capacity": 50_000,
            "warm_up": 1_000,
            "hidden_sizes": (256, 256),
        },
    },
    "ppo": {
        # The hyperparameters of PureJaxRL and CleanRL.
        "CartPole-v1": {"learning_rate": "linear:2.5e-4:0"},
        "Acrobot-v1": {"learning_rate": "linear:2.5e-4:0"},
        # Those of RL Baselines3 Zoo.
        "MountainCar-v0": {
            "steps": 1_000_000,
            "num_envs": 16,
            "learning_rate": 3e-4,
            "gae_lambda": 0.98,
            "entropy_coefficient": 0.0,
            "value_clip": False,
            "rollout_length": 16,
            "normalise_observations": True,
            "normalise_rewards": True,
        },
        **dict.fromkeys(_MINATAR, _PPO_MINATAR),
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
    "gaussian-pg": {
        "Pendulum-v1": {
            "steps": 200_000,
            "learning_rate": "linear:1e-3:0",
            "discount": 0.9,
            "entropy_coefficient": 0.0,
            "rollout_length": 256,
            "epochs": 10,
            "minibatches": 16,
        },
    },
    "td": {
        "DeepSea-bsuite": {
            "steps": 10_000,
            "learning_rate": 1.0,
            "discount": 1.0,
            "epsilon": 0.0,
            "initial_value": 1.0,
            "optimiser": "sgd",
        },
        "toy/frozen-lake": {
            "learning_rate": 0.5,
            "discount": 0.9,
            "temperature": 0.01,
            "initial_value": 1.0,
            "optimiser": "sgd",
        },
    },
    "recurrent-ppo": {
        # Those of RL Baselines3 Zoo, but: a GRU of 64, normalised observations, half the epochs, four minibatches.
        "CartPoleNoVel-v1": {
            "steps": 100_000,
            "learning_rate": "linear:1e-3:0",
            "clip_epsilon": "linear:0.2:0",
            "discount": 0.98,
            "gae_lambda": 0.8,
            "entropy_coefficient": 0.0,
            "rollout_length": 32,
            "epochs": 10,
            "minibatches": 4,
            "normalise_observations": True,
        },
        "MemoryChain-bsuite": {
            "steps": 50_000,
            "num_envs": 16,
            "learning_rate": 3e-3,
            "rollout_length": 16,
            "minibatches": 2,
        },
    },
    "iqn": {},
    "qr-dqn": {"CartPole-v1": _VALUES_CARTPOLE | {"quantiles": 25}},
    "rainbow": {},
    "sac": {
        "Pendulum-v1": _SOFT_PENDULUM,
        # Those of RL Baselines3 Zoo.
        "MountainCarContinuous-v0": {
            "steps": 50_000,
            "discount": 0.9999,
            "target_step": 0.01,
            "temperature": 0.1,
            "learn_temperature": False,
            "rollout_length": 32,
            "updates": 32,
            "batch_size": 512,
            "capacity": 50_000,
            "warm_up": 32,
            "hidden_sizes": (64, 64),
            "state_dependent": True,
            "initial_log_stddev": -3.67,
        },
    },
    "td3": {"Pendulum-v1": _DETERMINISTIC_PENDULUM},
    "ddpg": {"Pendulum-v1": _DETERMINISTIC_PENDULUM},
    "tqc": {"Pendulum-v1": _SOFT_PENDULUM},
    "discrete-sac": {},
}
