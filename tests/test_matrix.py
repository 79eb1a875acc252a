"""Whole training under other settings of JAX: the checker of key reuse, and float64."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import jax, jax.numpy as jnp, equinox as eqx
from bellmax import algorithms, envs, training

settings = dict(batch_size=8, warm_up=8, capacity=64, epsilon=0.5)
for algorithm, name in (
    (algorithms.PPO(rollout_length=8, minibatches=2), "toy/chain"),
    (algorithms.PPO(rollout_length=8, minibatches=2), "CONTINUOUS"),
    (algorithms.DQN(**settings), "toy/chain"),
):
    trainer = training.Trainer(algorithm, envs.make(name), num_envs=4)
    step = jax.jit(trainer.step)
    state = jax.jit(trainer.init)(jax.random.key(0))
    for _ in range(4):
        state, _ = step(state)
    played = training.evaluate(
        algorithm, trainer.environment, state.shared.algorithm,
        step=jnp.zeros(()), key=jax.random.key(3), episodes=4, max_steps=20, explore=True,
    )
    assert jnp.isfinite(played.episode_return).all()
    floats = jax.tree.leaves(eqx.filter(state.shared.algorithm, eqx.is_inexact_array))
    assert all(leaf.dtype == jnp.result_type(float) for leaf in floats)
    assert all(jnp.isfinite(leaf).all() for leaf in floats)
"""


@pytest.mark.parametrize(
    ("setting", "continuous"),
    # gymnax's Pendulum mixes types in float64.
    [
        pytest.param("JAX_DEBUG_KEY_REUSE", "Pendulum-v1", marks=pytest.mark.slow),
        pytest.param("JAX_ENABLE_X64", "MountainCarContinuous-v0", marks=pytest.mark.slow),
    ],
)
def test_training_passes_with(setting, continuous):
    program = PROGRAM.replace("CONTINUOUS", continuous)
    result = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | {setting: "1"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr[-3000:]
