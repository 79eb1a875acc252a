"""The actor-critics that learn from replay keep their laws, and planted faults break them."""

import types

import pytest

import faults
from algorithms import actor_critic_laws as laws

# Each is executed anew on those before it, so that what inherits a fault has it.
MODULES = (
    "_exploration",
    "_exploration_state_dependent",
    "_off_policy_actor_critic_networks",
    "_off_policy_actor_critic_state",
    "_replay_learner",
    "_off_policy_actor_critic",
    "_sac_soft",
    "_sac",
    "_tqc",
    "_td3",
    "_ddpg",
    "_discrete_sac",
)
FAST = {
    "law_sac_target_is_the_soft_value_of_the_lesser_critic",
    "law_critics_step_against_their_own_errors",
    "law_td3_target_is_the_lesser_value_of_the_target_action",
}
TARGET = "law_sac_target_is_the_soft_value_of_the_lesser_critic"

# Module, what stands there, what the fault puts there, the law that breaks.
FAULTS = {
    "truncation as termination": (
        "_replay_learner",
        "n_step_batch(batch, self.discount, self.n_step)",
        "n_step_batch(dataclasses.replace(batch, transition=dataclasses.replace(batch.transition, terminated="
        "batch.transition.terminated | batch.transition.truncated)), self.discount, self.n_step)",
        TARGET,
    ),
    "bootstrap from the observation": (
        "_off_policy_actor_critic", "batch.transition.next_observation, ahead_keys", "batch.transition.observation, "
        "ahead_keys", TARGET,
    ),
    "one key for both actions": (
        "_off_policy_actor_critic", "ahead_keys, actor_keys = ", "ahead_keys, actor_keys = jax.vmap(jax.random.split)"
        "(keys)[:, 0], keys; _ = ", "law_sac_actor_climbs_the_lesser_critic_and_its_entropy",
    ),
    "actions in the units of the environment": (
        "_exploration", "return (action - self.centre) / self.half_width", "return action", TARGET,
    ),
    "wrong bounds": ("_exploration", "self.low + self.half_width", "self.high + self.half_width", TARGET),
    "online critics in the target": (
        "_sac", "ensemble_min(predictions(state.target_critics", "ensemble_min(predictions(state.critics", TARGET,
    ),
    "mean of the critics in the target": (
        "_sac", "return ensemble_min(predictions(state.target_critics, next_observation, action))",
        "return predictions(state.target_critics, next_observation, action).mean(axis=0)", TARGET,
    ),
    "mean of the critics in the actor's loss": (
        "_sac", "return ensemble_min(q)", "return q.mean(axis=0)",
        "law_sac_actor_climbs_the_lesser_critic_and_its_entropy",
    ),
    "loss a mean over the critics": (
        "_sac", "0.5 * jnp.sum(jnp.square(errors), axis=0)", "0.5 * jnp.mean(jnp.square(errors), axis=0)", TARGET,
    ),
    "target not stopped": (
        "_sac", "sac_critic_error, (0, None, None, None, None, None)", "lambda q, *rest: sac_critic_error(q, *rest) + "
        "q - jax.lax.stop_gradient(q), (0, None, None, None, None, None)", "law_critics_step_against_their_own_errors",
    ),
    "sign of the temperature": (
        "_sac_soft", "return temperature_loss(log_alpha", "return -temperature_loss(log_alpha",
        "law_temperature_follows_the_entropy",
    ),
    "logarithm of the temperature as the temperature": (
        "_sac_soft", "jnp.exp(state.temperature.log_alpha)", "state.temperature.log_alpha",
        "law_temperature_follows_the_entropy",
    ),
    "sign of the entropy in the metric": (
        "_sac_soft", "return -noted", "return noted", "law_sac_actor_climbs_the_lesser_critic_and_its_entropy",
    ),
    "actor at every update": (
        "_off_policy_actor_critic", "updates.low % self.policy_delay == 0", "updates.low % self.policy_delay >= 0",
        "law_actor_waits_for_its_turn",
    ),
    "mask forgotten by the actor": (
        "_off_policy_actor_critic", "return mean_loss(loss, batch, axis_name), noted", "return loss.mean(), noted",
        "law_examples_that_do_not_count_do_not",
    ),
    "weights forgotten": (
        "_off_policy_actor_critic", "loss if batch.weight is None else batch.weight * loss", "loss",
        "law_examples_that_do_not_count_do_not",
    ),
    "targets before the critics": (
        "_off_policy_actor_critic", "moved(state.target_critics, state.critics, self.target_step)",
        "moved(state.critics, state.target_critics, self.target_step)",
        "law_targets_move_a_step_towards_the_critics",
    ),
    "targets that do not wait": (
        "_off_policy_actor_critic", "self.target_step, due)", "self.target_step)", "law_td3_targets_wait_for_the_actor",
    ),
    "online actor in the target": (
        "_td3", "state.target_actor(observation), key=key", "state.actor(observation), key=key",
        "law_td3_target_is_the_lesser_value_of_the_target_action",
    ),
    "last critic in the actor's loss": ("_td3", "leaf[:1]", "leaf[1:]", "law_td3_actor_climbs_the_first_critic"),
    "smoothing without its clip": (
        "_td3", "clip=self.smoothing_clip", "clip=100.0", "law_smoothing_blurs_the_target_action",
    ),
    "smallest quantiles dropped": (
        "_tqc", "pool_quantiles(predictions(state.target_critics, next_observation, action), self.dropped)",
        "-pool_quantiles(-predictions(state.target_critics, next_observation, action), self.dropped)",
        "law_tqc_learns_what_is_left_of_the_pool",
    ),
    "truncated mean in the actor's loss": (
        "_tqc", "return q.mean(axis=(0, -1))", "return pool_quantiles(q, self.dropped).mean(axis=-1)",
        "law_tqc_actor_climbs_the_mean_of_all_quantiles",
    ),
    "terminated states keep their quantiles": (
        "_tqc", "multiply_no_nan(ahead, discount[:, None])", "multiply_no_nan(ahead, 0.5)",
        "law_tqc_learns_what_is_left_of_the_pool",
    ),
    "discrete: online critics in the target": (
        "_discrete_sac", "predictions(state.target_critics", "predictions(state.critics",
        "law_discrete_target_is_a_sum_over_actions",
    ),
    "discrete: first critic in the actor's loss": (
        "_discrete_sac", "q = ensemble_min(predictions(state.critics, observation))",
        "q = predictions(state.critics, observation)[0]", "law_discrete_actor_climbs_the_lesser_critic",
    ),
    "discrete: entropy in nats, not as a share": (
        "_discrete_sac", "self.target_entropy * jnp.log(legal.astype(noted.dtype))", "self.target_entropy",
        "law_discrete_temperature_follows_the_entropy",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    "law", [pytest.param(name, marks=() if f"law_{name}" in FAST else pytest.mark.slow) for name in laws.LAWS]
)
def test_law_holds(law):
    laws.LAWS[law](laws.REAL)


def subject(monkeypatch, module="", old="", new=""):
    """Executes the modules with a fault in one, and returns the classes."""
    classes = faults.copies(monkeypatch, "bellmax.algorithms", MODULES, module, old, new)
    return types.SimpleNamespace(**{kind: classes[kind] for kind in ("SAC", "TD3", "TQC", "DDPG", "DiscreteSAC")})


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_fault_breaks_its_law(fault, monkeypatch):
    module, old, new, law = FAULTS[fault]
    faulty = subject(monkeypatch, module, old, new)
    with pytest.raises(AssertionError):
        laws.LAWS[law.removeprefix("law_")](faulty)


@pytest.mark.slow
@pytest.mark.parametrize("law", laws.LAWS)
def test_copy_without_a_fault_keeps_the_law(law, monkeypatch):
    # Else the way in which copies are made could be what breaks the laws above.
    laws.LAWS[law](subject(monkeypatch))
