"""Advantage actor-critic."""

import dataclasses

import equinox as eqx
import optax
from jaxtyping import Array, Key

from .._core import Batch, Feedback, RealScalarLike, Scheduled, Spaces, standardise
from ._actor_critic import AbstractActorCriticLearner, ActorCriticState, clipped_optimiser
from ._checks import check_fractions
from ._rollouts import evaluated, explained_variance, flattened, normalised_rollout, refuse_masks


class A2C(AbstractActorCriticLearner[ActorCriticState]):
    """Advantage actor-critic: one gradient step on each short rollout of all lanes.

    It is the synchronous form of the asynchronous algorithm, whose workers are the lanes here. With `gae_lambda` 1 the
    advantages are those of n-step returns, n being what is left of the rollout or of the episode.

    Attributes:
        gae_lambda: λ of the advantage estimates.
        normalise_advantages: Whether advantages are brought to mean 0 and variance 1 over each rollout.
        optimiser: Whose direction is taken: rmsprop (decay 0.99) or adam.
        optimiser_epsilon: ε of the optimiser, added to the root of its second moment.

    References:
        Mnih et al., *Asynchronous Methods for Deep Reinforcement Learning*, 2016, arXiv:1602.01783.
    """

    learning_rate: Scheduled = 7e-4
    gae_lambda: RealScalarLike = 1.0
    normalise_advantages: bool = eqx.field(static=True, default=False)
    rollout_length: int = eqx.field(static=True, default=5)
    optimiser: str = eqx.field(static=True, default="rmsprop")
    optimiser_epsilon: RealScalarLike = 1e-5

    def __check_init__(self):
        check_fractions(self, "gae_lambda")
        _ = self._optimiser

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> ActorCriticState:
        """Draws the networks and starts the optimiser."""
        return self._start(spaces, key)

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        del key
        refuse_masks("A2C", batch)
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        samples = evaluated(state.model, batch.transition, self.discount, self.gae_lambda)
        samples = dataclasses.replace(samples, observation=flattened(learned))
        variance = explained_variance(samples.value, samples.target, axis_name)
        if self.normalise_advantages:
            samples = dataclasses.replace(samples, advantage=standardise(samples.advantage, axis_name))
        state, metrics = self._learn_once(state, samples, step, axis_name)
        metrics |= {"explained_variance": variance}
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_optimiser(self.optimiser, self.max_gradient_norm, self.optimiser_epsilon)
