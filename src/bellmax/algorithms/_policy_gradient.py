"""Policy gradients beside a target policy."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from .._core import (
    Batch,
    Distribution,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    standardise,
    value_at,
)
from ..losses import policy_gradient_loss, ppo_clip_loss, value_loss
from ..policies import gaussian
from ..transforms import Moments
from ._actor_critic import AbstractActorCriticLearner
from ._actor_critic_loss import actor_critic_loss
from ._checks import check_choice, check_counts, check_fractions
from ._heads import head_of
from ._networks import AbstractActorCritic, actor_critic
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
from ._targets import copied, moved


class PolicyGradientState(eqx.Module):
    """What the algorithm carries from update to update."""

    model: AbstractActorCritic
    optimiser: optax.OptState
    target: AbstractActorCritic
    moments: Moments | None = None
    reward_moments: Moments | None = None


class PolicyGradient(AbstractActorCriticLearner[PolicyGradientState]):
    r"""An actor-critic with a target policy that follows the learner, and a choice of what moves the learner.

    `vanilla` follows the score function, $-A \log\pi(a|s)$; `ppo` the clipped surrogate of the ratio to the target
    policy; `cross_entropy` only makes the policy like the target policy: with `target_step` 0 and a teacher put into
    the state's `target` it distils the teacher, from the states that the behaviour policy sees. Each has the same
    entropy bonus. Any space of actions that has a default policy will do; for a Box it is a Gaussian.

    Who acts is who learns, or the target policy. Advantages are λ-estimates of what the actor did. `vanilla` takes the
    actions for the learner's own, so it is biased where the target policy acts and lags behind; the ratio of `ppo` is
    that of the paper where the target policy is what acted, as with `target_step` 1.

    Attributes:
        strategy: vanilla, ppo or cross_entropy.
        behaviour: Who acts: online or target.
        target_step: τ, how far the target policy moves towards the learner after each rollout that was learned from.
        gae_lambda: λ of the advantage estimates.
        clip_epsilon: How far the probability ratio may move from 1, a number or a schedule over environment steps.
        normalise_advantages: Whether advantages are brought to mean 0 and variance 1 over each minibatch.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass; divides `rollout_length`, or that times lanes of a device.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        state_dependent_variance: Whether the default network for a Box gives the log-variance too; else it is learned,
            but the same everywhere.

    References:
        Sutton et al., *Policy Gradient Methods for Reinforcement Learning with Function Approximation*, 1999. Schulman
        et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347.
    """

    learning_rate: Scheduled = 1e-3
    strategy: str = eqx.field(static=True, default="ppo")
    behaviour: str = eqx.field(static=True, default="online")
    target_step: RealScalarLike = 1.0
    gae_lambda: RealScalarLike = 0.95
    clip_epsilon: Scheduled = 0.2
    normalise_advantages: bool = eqx.field(static=True, default=True)
    epochs: int = eqx.field(static=True, default=1)
    minibatches: int = eqx.field(static=True, default=1)
    adam_epsilon: RealScalarLike = 1e-5
    state_dependent_variance: bool = eqx.field(static=True, default=True)

    def __check_init__(self):
        check_choice(self, "strategy", ("vanilla", "ppo", "cross_entropy"))
        check_choice(self, "behaviour", ("online", "target"))
        check_counts(self, "epochs", "minibatches")
        check_fractions(self, "gae_lambda", "target_step")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> PolicyGradientState:
        """Draws the networks, copies them to the target and starts the optimiser."""
        maker = self
        if self.network is None and self.state_dependent_variance and _is_box(spaces.action):
            settings = {name: getattr(self, name) for name in ("hidden_sizes", "activation", "convolution")}
            head = _WideNormal(2 * head_of(spaces.action).size)
            make = functools.partial(actor_critic, **settings, shared=self.shared_torso, head=head)
            maker = dataclasses.replace(self, network=make)
        start = maker._start(spaces, key)
        return PolicyGradientState(
            start.model, start.optimiser, copied(start.model), start.moments, start.reward_moments
        )

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Samples from the behaviour policy, or takes the mode of the learner's."""
        if explore and self.behaviour == "target":
            state = dataclasses.replace(state, model=state.target)
        return super().act(state, observation, memory, step=step, key=key, explore=explore)

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout, and moves the target policy."""
        refuse_masks("PolicyGradient", batch)
        length, lanes = batch.transition.reward.shape
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        samples = self._evaluate(state, batch)
        samples = dataclasses.replace(samples, observation=flattened(learned))
        rate = value_at(self.learning_rate, step)
        loss = functools.partial(self._loss, value_at(self.clip_epsilon, step))

        def learn(state, minibatch):
            if self.normalise_advantages:
                minibatch = dataclasses.replace(minibatch, advantage=standardise(minibatch.advantage, axis_name))
            return descended(state, loss, minibatch, self._optimiser, rate, axis_name)

        order = minibatch_order(length, lanes, self.epochs, self.minibatches, key, axis_name)
        state, metrics = over_minibatches(learn, state, samples, order)
        metrics["explained_variance"] = explained_variance(samples.value, samples.target, axis_name)
        state = dataclasses.replace(state, target=moved(state.target, state.model, self.target_step))
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _evaluate(self, state: PolicyGradientState, batch: Batch) -> Sample:
        """Gives every step the learner's value and advantage, and what the target policy says of it."""
        samples = evaluated(state.model, batch.transition, self.discount, self.gae_lambda)
        pi = jax.vmap(state.target.actor)(samples.observation)
        return dataclasses.replace(samples, log_prob=pi.log_prob(samples.action), behaviour=pi)

    def _loss(self, epsilon: RealScalarLike, model: AbstractActorCritic, batch: Sample):
        def one(sample: Sample):
            pi, value = model(sample.observation)
            divergence = sample.behaviour.kl_divergence(pi)
            log_prob = pi.log_prob(sample.action)
            if self.strategy == "vanilla":
                loss = policy_gradient_loss(log_prob, sample.advantage)
            elif self.strategy == "ppo":
                loss = ppo_clip_loss(log_prob - sample.log_prob, sample.advantage, epsilon=epsilon)
            else:
                loss = divergence + sample.behaviour.entropy()
            return loss, value_loss(value, sample.target), pi.entropy(), divergence

        policy_loss, critic_loss, entropy, divergence = jax.vmap(one)(batch)
        loss, metrics = actor_critic_loss(
            policy_loss, critic_loss, entropy, self.value_coefficient, self.entropy_coefficient
        )
        return loss, metrics | {"kl": divergence.mean()}


class _WideNormal(eqx.Module):
    """A Gaussian whose mean and log-variance are the outputs, one half each."""

    size: int = eqx.field(static=True)

    def __call__(self, outputs: Float[Array, " size"]) -> Distribution:
        return gaussian(*jnp.split(outputs, 2))


def _is_box(space: Any) -> bool:
    from gymnasium import spaces

    return isinstance(space, spaces.Box) and len(space.shape) == 1
