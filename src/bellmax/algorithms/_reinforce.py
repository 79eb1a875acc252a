"""REINFORCE."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Key

from .._core import (
    Batch,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    Transition,
    clipped_adam,
    pmean,
    standardise,
    value_at,
)
from ..returns import lambda_returns
from ._actor_critic import AbstractActorCriticLearner, ActorCriticState
from ._networks import AbstractActorCritic
from ._rollouts import appraised, descended, flattened, normalised_rollout, refuse_masks, sampled, with_ends


class REINFORCE(AbstractActorCriticLearner[ActorCriticState]):
    """Policy gradients by the return of whole episodes.

    A step counts if its episode ends within the rollout: what the others will return is not known. So episodes should
    be much shorter than the rollout; those that never end in it teach nothing. The return of an episode that a time
    limit cut is completed by the value of its last state; without a baseline nothing is added, and the limit belongs to
    the task. The factor $γ^t$ of the paper's gradient is left out, as everywhere.

    Attributes:
        baseline: Whether a value function is learned, subtracted from returns, and bootstrapped from at time limits.
        normalise_advantages: Whether returns, less the baseline, are brought to mean 0 and variance 1 over the steps of
            a rollout that count.
        adam_epsilon: ε of Adam, added to the root of its second moment.

    References:
        Williams, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning*, 1992.
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, sections 13.3 and 13.4.
    """

    learning_rate: Scheduled = 3e-3
    baseline: bool = eqx.field(static=True, default=True)
    normalise_advantages: bool = eqx.field(static=True, default=True)
    rollout_length: int = eqx.field(static=True, default=1024)
    adam_epsilon: RealScalarLike = 1e-5

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> ActorCriticState:
        """Draws the networks and starts the optimiser."""
        return self._start(spaces, key)

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from the episodes that ended in one rollout."""
        del key
        refuse_masks("REINFORCE", batch)
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        samples, counted = self._evaluate(state.model, batch.transition, axis_name)
        samples = dataclasses.replace(samples, observation=flattened(learned))
        # Where nothing counts, Adam would still move by what it remembers.
        rate = value_at(self.learning_rate, step) * (counted > 0)
        learner = self if self.baseline else dataclasses.replace(self, value_coefficient=0.0)
        state, metrics = descended(state, learner._policy_gradient, samples, self._optimiser, rate, axis_name)
        return state, metrics | {"counted": counted}, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _evaluate(self, model: AbstractActorCritic, transition: Transition, axis_name: str | None):
        """Returns samples whose weight is zero where the return is not known, and the share of the others."""
        found, finished = appraised(model, transition), ends_later(transition)
        if not self.baseline:
            zero = jnp.zeros_like(found.value)
            found = dataclasses.replace(found, value=zero, next_value=zero)
        discounts, traces = with_ends(transition, self.discount, 1.0)
        target = lambda_returns(transition.reward, discounts, found.next_value, traces)
        # A NaN that does not count must not reach a gradient, not even times zero.
        target = jnp.where(finished, target, found.value)
        advantage = target - found.value
        if self.normalise_advantages:
            advantage = jnp.where(finished, standardise(advantage, axis_name, finished), 0)
        counted = pmean(jnp.mean(finished.astype(target.dtype)), axis_name)
        weight = finished / jnp.where(counted > 0, counted, 1)
        return sampled(transition, found, advantage, target, weight), counted


def ends_later(transition: Transition) -> Bool[Array, "time lanes"]:
    """Returns for each step whether its episode ends within the rollout."""
    ended = transition.terminated | transition.truncated
    return jax.lax.cummax(ended.astype(jnp.int8), axis=0, reverse=True) > 0
