"""Faults planted in the source, one at a time: a law that the real code keeps must break.

A fault is an exact replacement in a module's text, which then runs in a module of its own; nothing on disk changes.
"""

import importlib
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from training import laws

# In the order of their imports, so that each takes what those before it define.
MODULES = (
    "_core._gradient",
    "algorithms._targets",
    "algorithms._actor_critic_loss",
    "algorithms._rollouts",
    "algorithms._ppo",
    "algorithms._n_step",
    "algorithms._replay_learner",
    "algorithms._value_learning",
    "algorithms._dqn",
    "training._collect",
    "training._learn",
    "training._evaluate",
    "training._learner",
    "training._trainer",
)


class Fault(NamedTuple):
    module: str
    old: str
    new: str
    law: object
    raises: type[Exception] = AssertionError
    settings: Mapping[str, object] = types.MappingProxyType({})


ROLLOUTS, PPO, DQN, COLLECT = "algorithms._rollouts", "algorithms._ppo", "algorithms._dqn", "training._collect"
N_STEP, VALUES = "algorithms._n_step", "algorithms._value_learning"
LOSS = "algorithms._actor_critic_loss"
TRAINER, LEARNER, LEARN = "training._trainer", "training._learner", "training._learn"
TARGETS, EVALUATE, GRADIENT = "algorithms._targets", "training._evaluate", "_core._gradient"
DISCOUNT = "jnp.where(transition.terminated, 0.0, self.discount)"
DISCOUNTS = "jnp.where(transition.terminated, 0.0, discount)"
GAUSSIAN = {"kind": "gaussian"}
FRESH = "fresh = jax.vmap(start)(keys_of(which=which))"


def kept(name):
    """Replaces what a new episode starts with by what the old one ended with."""
    old = f"jax.tree.map(lambda leaf: leaf[which], lanes.{name})"
    return f"{FRESH}; fresh = Lane(**vars(fresh) | {{'{name}': {old}}})"


FAULTS = {
    # Episode ends.
    "ppo: truncation treated as termination": Fault(
        ROLLOUTS,
        DISCOUNTS,
        "jnp.where(transition.terminated | transition.truncated, 0.0, discount)",
        laws.law_advantages_respect_episode_ends,
    ),
    "ppo: bootstrap at a terminal state": Fault(
        ROLLOUTS, DISCOUNTS, "jnp.full_like(transition.reward, discount)", laws.law_advantages_respect_episode_ends
    ),
    "ppo: lambda not cut at truncation": Fault(
        ROLLOUTS,
        "jnp.where(transition.truncated, 0.0, lambda_)",
        "jnp.full_like(transition.reward, lambda_)",
        laws.law_future_of_another_episode_is_invisible,
    ),
    "ppo: next value off by one": Fault(
        ROLLOUTS,
        "jax.vmap(model.critic)(flat.next_observation)",
        "jax.vmap(model.critic)(flat.observation)",
        laws.law_advantages_respect_episode_ends,
    ),
    "ppo: value learned towards the advantage": Fault(
        ROLLOUTS,
        "advantage, advantage + found.value)",
        "advantage, advantage)",
        laws.law_advantages_respect_episode_ends,
    ),
    "collect: bootstrap from the reset observation": Fault(
        COLLECT,
        "            outcome.observation,\n            outcome.terminated,",
        "            jnp.where(outcome.terminated | outcome.truncated, environment.reset(key=step_key)[1], "
        "outcome.observation),\n            outcome.terminated,",
        laws.law_successor_is_true,
    ),
    "collect: no reset at truncation": Fault(
        COLLECT,
        "ended = transition.terminated | transition.truncated",
        "ended = transition.terminated",
        laws.law_successor_is_true,
    ),
    "collect: memory not reset": Fault(COLLECT, FRESH, kept("memory"), laws.law_memory_is_reset),
    "collect: episode return not reset": Fault(COLLECT, FRESH, kept("episode_return"), laws.law_episode_metrics),
    "collect: episode length not reset": Fault(COLLECT, FRESH, kept("episode_length"), laws.law_episode_metrics),
    "trainer: memory after the rollout given as memory before it": Fault(
        TRAINER, "local.lanes.memory,", "lanes.memory,", laws.law_memory_is_reset
    ),
    "dqn: bootstrap at a terminal state": Fault(
        N_STEP, DISCOUNTS, "jnp.full_like(transition.reward, discount)", laws.law_only_termination_stops_the_bootstrap
    ),
    "dqn: truncation treated as termination": Fault(
        N_STEP,
        DISCOUNTS,
        "jnp.where(transition.terminated | transition.truncated, 0.0, discount)",
        laws.law_only_termination_stops_the_bootstrap,
    ),
    "learner: accumulators start anew with every rollout": Fault(
        LEARNER, "Kept(accumulators=feedback.accumulators)", "kept", laws.law_accumulators_go_on
    ),
    "ppo: running return without discount": Fault(
        ROLLOUTS,
        "scaled_rewards(state.reward_moments, batch, discount,",
        "scaled_rewards(state.reward_moments, batch, 1.0,",
        laws.law_accumulators_go_on,
    ),
    "ppo: moments of the running return never move": Fault(
        ROLLOUTS, "reward_moments=reward_moments)", "reward_moments=state.reward_moments)", laws.law_accumulators_go_on
    ),
    # Randomness.
    "collect: one action key for all lanes": Fault(
        COLLECT,
        "lane_keys(key, count, axis_name)",
        "jnp.stack([key] * count)",
        laws.law_action_keys_differ_between_lanes,
    ),
    "collect: reset with the key of the step": Fault(
        COLLECT,
        "functools.partial(lane_keys, reset_key, count, axis_name)",
        "lambda which: step_keys[which]",
        laws.law_keys_differ,
    ),
    "collect: lanes numbered anew on each device": Fault(
        COLLECT,
        "lane_keys(key, count, axis_name)",
        "lane_keys(key, count)",
        laws.law_lanes_do_not_depend_on_devices,
    ),
    "learner: key not folded with the count of steps": Fault(
        LEARNER, "shared.steps.fold_into(shared.key)", "shared.key", laws.law_keys_differ
    ),
    "ppo: no shuffle": Fault(
        ROLLOUTS,
        "permute(keys)",
        "jnp.broadcast_to(jnp.arange(length), keys.shape + (length,))",
        laws.law_shuffle_mixes_time,
    ),
    "ppo: lanes share their permutation": Fault(
        ROLLOUTS, "lane_keys(key, lanes, axis_name)", "jnp.stack([key] * lanes)", laws.law_shuffle_mixes_time
    ),
    "ppo: the same permutation each epoch": Fault(
        ROLLOUTS,
        "lane_keys(key, lanes, axis_name))(jax.random.split(key, epochs))",
        "lane_keys(key, lanes, axis_name))(jnp.stack([key] * epochs))",
        laws.law_shuffle_differs_between_epochs,
    ),
    "ppo: permutation per device": Fault(
        ROLLOUTS,
        "lane_keys(key, lanes, axis_name)",
        "lane_keys(key, lanes)",
        laws.law_advantages_are_normalised_over_all_devices,
    ),
    "dqn: greedy while exploring": Fault(
        VALUES,
        "epsilon if explore else 0.0",
        "0.0",
        laws.law_exploration_follows_epsilon,
    ),
    "dqn: explores in evaluation": Fault(
        VALUES,
        " if explore else 0.0)\n        return pi.sample(seed=key) if explore else pi.mode()",
        ")\n        return pi.sample(seed=key)",
        laws.law_evaluation_is_greedy,
    ),
    # Arithmetic of the updates.
    "ppo: sign of the entropy bonus": Fault(
        LOSS, "loss - entropy_coefficient *", "loss + entropy_coefficient *", laws.law_entropy_bonus_raises_entropy
    ),
    "ppo: advantage normalised on each device": Fault(
        PPO,
        "standardise(minibatch.advantage, axis_name)",
        "standardise(minibatch.advantage)",
        laws.law_advantages_are_normalised_over_all_devices,
    ),
    "ppo: log-probability of the clipped action": Fault(
        PPO,
        "pi.log_prob(sample.action) -",
        "pi.log_prob(jnp.clip(sample.action, -1, 1)) -",
        laws.law_first_ratio_is_one,
        settings=GAUSSIAN,
    ),
    "ppo: behaviour's log-probability of the clipped action": Fault(
        ROLLOUTS,
        "return value, pi.log_prob(action)",
        "return value, pi.log_prob(jnp.clip(action, -1, 1))",
        laws.law_log_prob_is_of_the_stored_action,
        settings=GAUSSIAN,
    ),
    "collect: clipped action stored": Fault(
        COLLECT,
        "            lane.observation,\n            action,",
        "            lane.observation,\n            border_action,",
        laws.law_action_is_stored_as_sampled,
    ),
    "collect: schedules stand still in a rollout": Fault(
        COLLECT, "step + time * steps_at_once", "step", laws.law_step_is_counted
    ),
    "dqn: target never moves": Fault(
        VALUES, "updates.low % self.target_period == 0", "jax.numpy.array(False)", laws.law_target_moves_every_period
    ),
    "dqn: target moves with every update": Fault(
        VALUES, "updates.low % self.target_period == 0", "jax.numpy.array(True)", laws.law_target_moves_every_period
    ),
    "dqn: target shares the online buffers": Fault(
        TARGETS, "leaf.copy() if eqx.is_array(leaf) else leaf", "leaf", laws.law_target_is_a_copy
    ),
    "dqn: double Q with its roles swapped": Fault(
        DQN,
        "discount, next_q, selector",
        "discount, selector, next_q",
        laws.law_double_q_selects_online_and_evaluates_target,
    ),
    "gradient: NaN not skipped": Fault(
        GRADIENT, "finite = jnp.isfinite(norm)", "finite = jnp.array(True)", laws.law_nan_reward_is_skipped
    ),
    "learn: warm-up not waited for": Fault(LEARN, "step >= needs.warm_up", "step >= 0", laws.law_warm_up_is_waited_for),
    # Devices.
    "ppo: gradient not averaged over devices": Fault(
        ROLLOUTS,
        "value_and_grad_in_blocks(loss, axis_name)",
        "value_and_grad_in_blocks(loss)",
        laws.law_shared_half_is_the_same_on_every_device,
        raises=ValueError,
    ),
    "dqn: gradient not averaged over devices": Fault(
        VALUES,
        "value_and_grad(self._loss, axis_name)",
        "value_and_grad(self._loss)",
        laws.law_shared_half_is_the_same_on_every_device,
        raises=ValueError,
        settings={"make": laws.small_dqn},
    ),
    "learner: metrics not added up over devices": Fault(
        LEARNER,
        "pmean(metrics, axis_name)",
        "metrics",
        laws.law_shared_half_is_the_same_on_every_device,
        raises=ValueError,
    ),
    "collect: returns not added up over devices": Fault(
        COLLECT,
        "psum(jax.tree.map(jnp.sum, metrics), axis_name)",
        "jax.tree.map(jnp.sum, metrics)",
        laws.law_shared_half_is_the_same_on_every_device,
        raises=ValueError,
    ),
    # Evaluation.
    "evaluate: rewards after the end count": Fault(
        EVALUATE, "jnp.where(finished, 0, outcome.reward)", "outcome.reward", laws.law_evaluation_plays_one_episode_each
    ),
    "evaluate: steps after the end count": Fault(
        EVALUATE,
        "lane.episode_length + ~finished",
        "lane.episode_length + 1",
        laws.law_evaluation_plays_one_episode_each,
    ),
    "evaluate: always explores": Fault(
        EVALUATE, "explore=explore", "explore=True", laws.law_evaluation_explores_only_on_request
    ),
}


def subject_with(fault: Fault | None) -> laws.Subject:
    """Runs the modules anew, one of them with a fault, and gathers what is put to the laws."""
    fresh: dict[str, object] = {}
    real = {f"bellmax.{name}": importlib.import_module(f"bellmax.{name}") for name in MODULES}
    try:
        for name in MODULES:
            full = f"bellmax.{name}"
            origin = real[full].__file__
            text = Path(origin).read_text()
            if fault is not None and fault.module == name:
                assert text.count(fault.old) == 1, f"{fault.old!r} should be in {name} exactly once"
                text = text.replace(fault.old, fault.new)
            module = types.ModuleType(full)
            module.__package__ = full.rpartition(".")[0]
            module.__file__ = origin
            exec(compile(text, origin, "exec"), vars(module))
            # What is imported from its package, not from its own file, is set afterwards; base classes cannot be.
            for key, value in fresh.items():
                if getattr(vars(module).get(key), "__module__", None) == value.__module__:
                    setattr(module, key, value)
            sys.modules[full] = module
            fresh |= {
                key: value
                for key, value in vars(module).items()
                if getattr(value, "__module__", None) == full and not key.startswith("_")
            }
    finally:
        sys.modules.update(real)
    return laws.Subject(**{name: fresh[name] for name in ("PPO", "DQN", "Trainer", "collect", "evaluate")})


# Near to others that every run plants, and slower.
RARE = {
    "collect: no reset at truncation",
    "collect: episode length not reset",
    "collect: reset with the key of the step",
    "collect: lanes numbered anew on each device",
    "collect: schedules stand still in a rollout",
    "dqn: target moves with every update",
    "ppo: permutation per device",
    "ppo: running return without discount",
    "ppo: moments of the running return never move",
    "ppo: bootstrap at a terminal state",
    "ppo: value learned towards the advantage",
    "evaluate: steps after the end count",
    "learn: warm-up not waited for",
}
assert set(FAULTS) >= RARE


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in RARE else name for name in FAULTS]
)
def test_planted_fault_is_found(name):
    fault = FAULTS[name]
    subject = subject_with(fault)
    with pytest.raises(fault.raises):
        fault.law(subject, **fault.settings)


@pytest.mark.slow
@pytest.mark.parametrize("law", sorted({fault.law.__name__ for fault in FAULTS.values()}))
def test_modules_run_anew_without_a_fault_keep_the_law(law):
    # Else a law could break because of the way the modules are loaded, and every fault would seem found.
    getattr(laws, law)(subject_with(None))


def test_module_run_anew_is_what_the_others_use():
    subject = subject_with(None)
    trainer_globals = vars(subject.Trainer)["step"].__globals__
    assert trainer_globals["collect"] is subject.collect is not laws.REAL.collect
    laws.law_successor_is_true(subject)
