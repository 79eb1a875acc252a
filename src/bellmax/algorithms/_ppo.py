"""Proximal policy optimisation."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from .._core import (
    Batch,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    pmean,
    standardise,
    value_at,
)
from ..losses import (
    adapt_kl_coefficient,
    discovered_policy_loss,
    ppo_clip_loss,
    ppo_kl_loss,
)
from ..transforms import Moments
from ._actor_critic import AbstractActorCriticLearner
from ._actor_critic_loss import actor_critic_loss, movement, regression_loss
from ._checks import check_choice, check_counts, check_fractions
from ._networks import AbstractActorCritic
from ._rollouts import (
    Sample,
    descended,
    evaluated,
    explained_variance,
    flattened,
    minibatch_order,
    normalised_rollout,
    over_minibatches,
    refuse_masks,
)

_LARGEST_COEFFICIENT = 1e4
"""The penalty stays between this and its inverse: what reached zero could not be doubled any more."""


class PPOState(eqx.Module):
    """What PPO carries from update to update."""

    model: AbstractActorCritic
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None
    kl_coefficient: Float[Array, ""] | None = None


class PPO(AbstractActorCriticLearner[PPOState]):
    """Proximal policy optimisation, for discrete and for continuous actions.

    Each rollout is learned from several times over. Its steps are shuffled inside each lane, so every minibatch holds
    as many steps of each lane as of any other. Advantages are λ-estimates, standardised over each minibatch.

    Attributes:
        gae_lambda: λ of the advantage estimates.
        objective: What keeps the policy near the one that acted: `clip` of the probability ratio, a penalty on the
            `kl` divergence, or the `drift` function of discovered policy optimisation.
        clip_epsilon: How far the probability ratio may move from 1, a number or a schedule over environment steps.
        kl_coefficient: Weight of the divergence where `objective` is `kl`; where it adapts, the first.
        kl_adaptive: Whether that weight is doubled after updates that moved the policy by more than 1.5 times
            `kl_target`, and halved after those that moved it by less than two thirds.
        kl_target: Divergence that an update should cause, in nats.
        value_clip: Whether the value may move only as far, by `value_clip_epsilon`.
        value_clip_epsilon: How far the value may move, in units of the return.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass. As far as they do not divide `rollout_length` they divide the lanes.
        adam_epsilon: ε of Adam, added to the root of its second moment.

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347. Huang et al., *The 37
        Implementation Details of Proximal Policy Optimization*, 2022. Lu et al., *Discovered Policy Optimisation*,
        2022, arXiv:2210.05639.
    """

    gae_lambda: RealScalarLike = 0.95
    objective: str = eqx.field(static=True, default="clip")
    clip_epsilon: Scheduled = 0.2
    kl_coefficient: RealScalarLike = 1.0
    kl_adaptive: bool = eqx.field(static=True, default=True)
    kl_target: RealScalarLike = 0.01
    value_clip: bool = eqx.field(static=True, default=True)
    value_clip_epsilon: RealScalarLike = 0.2
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    adam_epsilon: RealScalarLike = 1e-5

    def __check_init__(self):
        check_counts(self, "epochs", "minibatches")
        check_choice(self, "objective", ("clip", "kl", "drift"))
        check_fractions(self, "gae_lambda")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> PPOState:
        """Draws the networks and starts the optimiser."""
        start = self._start(spaces, key)
        coefficient = jnp.asarray(self.kl_coefficient, float) if self.objective == "kl" else None
        return PPOState(start.model, start.optimiser, start.moments, start.reward_moments, coefficient)

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        refuse_masks("PPO", batch)
        length, lanes = batch.transition.reward.shape
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        samples = dataclasses.replace(self._evaluate(state.model, batch), observation=flattened(learned))
        rate, epsilon = value_at(self.learning_rate, step), value_at(self.clip_epsilon, step)
        loss = functools.partial(self._loss, epsilon, state.kl_coefficient)

        def learn(state, minibatch):
            minibatch = dataclasses.replace(minibatch, advantage=standardise(minibatch.advantage, axis_name))
            return descended(state, loss, minibatch, self._optimiser, rate, axis_name)

        state, metrics = over_minibatches(learn, state, samples, self._shuffle(length, lanes, key, axis_name))
        metrics["explained_variance"] = explained_variance(samples.value, samples.target, axis_name)
        if self.objective == "kl":
            state, divergence = self._adapted(state, samples, axis_name)
            metrics |= divergence
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _evaluate(self, model: AbstractActorCritic, batch: Batch) -> Sample:
        """Gives every step its value, its advantage and the log-probability of its action, time and lanes as one."""
        keep_policy = self.objective == "kl"
        return evaluated(model, batch.transition, self.discount, self.gae_lambda, keep_policy=keep_policy)

    def _shuffle(
        self, length: int, lanes: int, key: Key[Array, ""], axis_name: str | None
    ) -> Int[Array, "minibatches size"]:
        """Returns the minibatches of all epochs, as indices into the flattened rollout."""
        return minibatch_order(length, lanes, self.epochs, self.minibatches, key, axis_name)

    def _loss(self, epsilon, kl_coefficient, model: AbstractActorCritic, batch: Sample):
        def one(sample: Sample):
            pi, value = model(sample.observation)
            log_ratio = pi.log_prob(sample.action) - sample.log_prob
            if self.objective == "clip":
                loss = ppo_clip_loss(log_ratio, sample.advantage, epsilon=epsilon)
            elif self.objective == "kl":
                divergence = sample.behaviour.kl_divergence(pi)
                loss = ppo_kl_loss(log_ratio, sample.advantage, divergence, beta=kl_coefficient)
            else:
                loss = discovered_policy_loss(log_ratio, sample.advantage)
            return log_ratio, pi.entropy(), value, loss

        log_ratio, entropy, value, policy_loss = jax.vmap(one)(batch)
        epsilon_of_value = self.value_clip_epsilon if self.value_clip else None
        critic_loss = regression_loss(value, batch.target, batch.value, epsilon_of_value)
        loss, metrics = actor_critic_loss(
            policy_loss, critic_loss, entropy, self.value_coefficient, self.entropy_coefficient
        )
        return loss, metrics | movement(log_ratio, epsilon)

    def _adapted(self, state: PPOState, samples: Sample, axis_name: str | None):
        """Measures how far an update moved the policy, and sets the penalty of the next."""

        def one(sample):
            return sample.behaviour.kl_divergence(state.model.actor(sample.observation))

        kl = pmean(jnp.mean(jax.vmap(one)(samples)), axis_name)
        coefficient = state.kl_coefficient
        assert coefficient is not None
        if self.kl_adaptive:
            adapted = adapt_kl_coefficient(coefficient, kl, self.kl_target)
            adapted = jnp.clip(adapted, 1 / _LARGEST_COEFFICIENT, _LARGEST_COEFFICIENT)
            coefficient = jnp.where(jnp.isfinite(kl), adapted, coefficient)
        state = dataclasses.replace(state, kl_coefficient=coefficient)
        return state, {"kl": kl, "kl_coefficient": coefficient}
