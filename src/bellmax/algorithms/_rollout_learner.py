"""What algorithms that learn from their own rollouts share."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from .._core import RealScalarLike, Scheduled, Spaces
from ..transforms import Moments, init_moments
from ._checks import check_counts, check_fractions, check_not_negative
from ._contract import AbstractAlgorithm, OnPolicy, State
from ._normalisation import observation_moments


class AbstractRolloutLearner(AbstractAlgorithm[State]):
    """Learns from fresh rollouts; how, and by what network it acts, is the subclass's.

    Attributes:
        learning_rate: Step size of the optimiser, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between updates.
        activation: Nonlinearity of the default networks: tanh, relu, silu, elu, gelu or leaky_relu.
        normalise_observations: Whether the networks see floating-point numbers at mean 0 and variance 1. They act by
            the moments of all rollouts before the present one, and learn by those with it: the next they act by.
        normalise_rewards: Whether rewards are divided by the deviation of their running discounted return, over all
            rollouts, and clipped at 10. Values and their losses are then in that unit.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    max_gradient_norm: RealScalarLike = 0.5
    rollout_length: int = eqx.field(static=True, default=128)
    activation: str = eqx.field(static=True, default="tanh")
    normalise_observations: bool = eqx.field(static=True, default=False)
    normalise_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        check_counts(self, "rollout_length")
        check_fractions(self, "discount")
        check_not_negative(self, "max_gradient_norm")

    @property
    def requirements(self) -> OnPolicy:
        """Fresh rollouts."""
        return OnPolicy(self.rollout_length)

    def init_accumulators(self, spaces: Spaces) -> Any:
        """The running return of a lane, where rewards are normalised."""
        del spaces
        return jnp.zeros(()) if self.normalise_rewards else None

    def _init_moments(self, spaces: Spaces) -> tuple[Moments | None, Moments | None]:
        """Starts moments of observations and of the running return, as far as they are asked for."""
        observations = observation_moments(spaces) if self.normalise_observations else None
        return observations, init_moments(jnp.zeros(())) if self.normalise_rewards else None
