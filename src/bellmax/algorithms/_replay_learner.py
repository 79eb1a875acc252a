"""What algorithms that learn from replay share."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from .._core import Batch, RealScalarLike, Scheduled, Spaces, clipped_adam
from ..transforms import Moments
from ._checks import check_counts, check_fractions, check_not_negative
from ._contract import AbstractAlgorithm, OffPolicy, State
from ._n_step import n_step_batch
from ._normalisation import counted, normalised_transition, observation_moments


class AbstractReplayLearner(AbstractAlgorithm[State]):
    """Learns from transitions that replay keeps, with target networks; how it learns is the subclass's.

    Attributes:
        discount: γ, what a reward is worth a step later.
        n_step: Steps of reward before the bootstrap, fewer where the episode ends; they are not corrected for the
            policy having changed since.
        target_step: How far target networks move towards the online ones, from 0 to 1.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between rounds of updates.
        updates: Updates in a round.
        batch_size: Transitions an update, over all lanes; divisible by their number.
        capacity: Transitions in replay, over all lanes.
        warm_up: Environment steps that are only kept: the first update follows the first round that begins after them.
        prioritised: Whether examples are replayed in proportion to a power of the error last seen on them.
        priority_exponent: α, that power; 0 for uniform replay.
        importance_exponent: β, how far importance weights make up for it, from 0 to 1; a number or a schedule over
            environment steps.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        hidden_sizes: Widths of the default networks.
        activation: Nonlinearity of the default networks: tanh, relu, silu, elu, gelu or leaky_relu.
        normalise_observations: Whether the networks see floating-point numbers at mean 0 and variance 1, by the moments
            of all batches so far.
    """

    discount: RealScalarLike = 0.99
    n_step: int = eqx.field(static=True, default=1)
    target_step: RealScalarLike = 1.0
    max_gradient_norm: RealScalarLike = 10.0
    rollout_length: int = eqx.field(static=True, default=1)
    updates: int = eqx.field(static=True, default=1)
    batch_size: int = eqx.field(static=True, default=128)
    capacity: int = eqx.field(static=True, default=100_000)
    warm_up: int = eqx.field(static=True, default=1_000)
    prioritised: bool = eqx.field(static=True, default=False)
    priority_exponent: RealScalarLike = 0.6
    importance_exponent: Scheduled = 0.4
    adam_epsilon: RealScalarLike = 1e-8
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="relu")
    normalise_observations: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_counts(self, "n_step", "rollout_length", "updates", "batch_size", "capacity", "warm_up")
        check_fractions(self, "discount", "target_step")
        check_not_negative(self, "priority_exponent", "max_gradient_norm")

    @property
    def requirements(self) -> OffPolicy:
        """Replayed transitions, or sequences of them."""
        return OffPolicy(
            self.rollout_length,
            self.updates,
            self.batch_size,
            self.capacity,
            self.warm_up,
            sequence_length=self.n_step if self.n_step > 1 else None,
            priority_exponent=self.priority_exponent if self.prioritised else None,
            importance_exponent=self.importance_exponent,
        )

    def _init_moments(self, spaces: Spaces) -> Moments | None:
        """Starts moments of observations, where they are asked for."""
        return observation_moments(spaces) if self.normalise_observations else None

    def _prepared(
        self, state: Any, batch: Batch, axis_name: str | None
    ) -> tuple[Batch, Float[Array, " batch"], Moments | None]:
        """Makes one transition of each sequence, and shows it as it was acted on.

        Returns:
            The batch, normalised by the moments so far; what its bootstraps are worth; the moments with it.
        """
        batch, discount = n_step_batch(batch, self.discount, self.n_step)
        moments = counted(state.moments, batch, axis_name)
        transition = normalised_transition(state.moments, batch.transition)
        if batch.mask is not None:  # a reward that is NaN must not reach a gradient, not even times zero
            transition = dataclasses.replace(transition, reward=jnp.where(batch.mask, transition.reward, 0))
            discount = jnp.where(batch.mask, discount, 0)
        return dataclasses.replace(batch, transition=transition), discount, moments

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)
