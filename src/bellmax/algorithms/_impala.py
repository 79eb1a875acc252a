"""Importance-weighted actor-learners."""

import dataclasses

import equinox as eqx
import optax
from jaxtyping import Array, Float, Key

from .._core import (
    Batch,
    Counter,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    Transition,
)
from ..losses import approximate_kl
from ..returns import vtrace
from ..transforms import Moments
from ._actor_critic import AbstractActorCriticLearner, clipped_optimiser
from ._checks import check_counts, check_fractions
from ._networks import AbstractActorCritic
from ._normalisation import normalised
from ._rollouts import (
    Sample,
    appraised,
    explained_variance,
    flattened,
    normalised_rollout,
    refuse_masks,
    sampled,
    with_ends,
)
from ._targets import copied, moved


class IMPALAState(eqx.Module):
    """What IMPALA carries from update to update; `behaviour` is the model that acts."""

    model: AbstractActorCritic
    behaviour: AbstractActorCritic
    optimiser: optax.OptState
    updates: Counter
    moments: Moments | None = None
    reward_moments: Moments | None = None


class IMPALA(AbstractActorCriticLearner[IMPALAState]):
    r"""Actor-critic that learns from rollouts of an older policy, corrected by V-trace.

    In the paper actors on other machines run ahead with parameters some updates old. Here everything is in one program
    and takes turns, so the age is a number that is chosen: the parameters that act are kept in the state and replaced
    every `actor_lag` updates. Rollouts are between 0 and `actor_lag` − 1 updates old; with a lag of 1 this is A2C with
    V-trace's targets. Each rollout is learned from once.

    Attributes:
        trace_lambda: λ of V-trace.
        rho_clip: Largest importance ratio in the error of the value, $\bar\rho$.
        c_clip: Largest importance ratio in the trace, $\bar c$.
        pg_rho_clip: Largest importance ratio in the policy gradient.
        actor_lag: Updates between refreshments of the parameters that act.
        optimiser: Whose direction is taken: rmsprop (decay 0.99) or adam.
        optimiser_epsilon: ε of the optimiser, added to the root of its second moment.

    References:
        Espeholt et al., *IMPALA: Scalable Distributed Deep-RL with Importance Weighted Actor-Learner Architectures*,
        2018, arXiv:1802.01561.
    """

    learning_rate: Scheduled = 6e-4
    trace_lambda: RealScalarLike = 1.0
    rho_clip: RealScalarLike = 1.0
    c_clip: RealScalarLike = 1.0
    pg_rho_clip: RealScalarLike = 1.0
    actor_lag: int = eqx.field(static=True, default=2)
    max_gradient_norm: RealScalarLike = 40.0
    rollout_length: int = eqx.field(static=True, default=20)
    optimiser: str = eqx.field(static=True, default="adam")
    optimiser_epsilon: RealScalarLike = 1e-5

    def __check_init__(self):
        check_counts(self, "actor_lag")
        check_fractions(self, "trace_lambda")
        _ = self._optimiser

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> IMPALAState:
        """Draws the networks, gives the actors a copy and starts the optimiser."""
        start = self._start(spaces, key)
        behaviour = copied(start.model)
        return IMPALAState(start.model, behaviour, start.optimiser, Counter.zero(), start.moments, start.reward_moments)

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Samples from the policy of the actors, or takes the mode of the learner's; keeps the log-probability."""
        del step
        model = state.behaviour if explore else state.model
        pi = model.actor(normalised(state.moments, observation))
        action = pi.sample(seed=key) if explore else pi.mode()
        return action, pi.log_prob(action), memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout, and lends the actors new parameters when it is time."""
        del key
        refuse_masks("IMPALA", batch)
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        samples, log_ratio = self._evaluate(state.model, batch.transition)
        samples = dataclasses.replace(samples, observation=flattened(learned))
        state, metrics = self._learn_once(state, samples, step, axis_name)
        metrics["explained_variance"] = explained_variance(samples.value, samples.target, axis_name)
        metrics["approximate_kl"] = approximate_kl(log_ratio).mean()
        updates = state.updates + 1
        behaviour = moved(state.behaviour, state.model, 1.0, updates.low % self.actor_lag == 0)
        state = dataclasses.replace(state, behaviour=behaviour, updates=updates)
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_optimiser(self.optimiser, self.max_gradient_norm, self.optimiser_epsilon)

    def _evaluate(
        self, model: AbstractActorCritic, transition: Transition
    ) -> tuple[Sample, Float[Array, "time lanes"]]:
        """Returns V-trace's advantages and targets, and the log-ratios from the actors' policy to the learner's."""
        found = appraised(model, transition)
        log_ratio = found.log_prob - transition.extras
        discounts, lambdas = with_ends(transition, self.discount, self.trace_lambda)
        trace = vtrace(
            found.value,
            transition.reward,
            discounts,
            found.next_value,
            log_ratio,
            lambdas,
            rho_clip=self.rho_clip,
            c_clip=self.c_clip,
            pg_rho_clip=self.pg_rho_clip,
        )
        return sampled(transition, found, trace.advantage, trace.returns), log_ratio
