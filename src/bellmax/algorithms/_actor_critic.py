"""What algorithms with a policy and a value function of their own rollouts have in common."""

import abc
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from .._core import (
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    functions_as_nodes,
    init_optimiser,
    value_at,
)
from ..losses import policy_gradient_loss, value_loss
from ..transforms import Moments, init_moments
from ._contract import AbstractAlgorithm, OnPolicy
from ._networks import AbstractActorCritic, actor_critic
from ._normalisation import normalised, observation_moments
from ._rollouts import Sample, actor_critic_loss, descended

State = TypeVar("State")


class ActorCriticState(eqx.Module):
    """What an actor-critic carries from update to update."""

    model: AbstractActorCritic
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None


class AbstractActorCriticLearner(AbstractAlgorithm[State]):
    """Acts by `state.model` and learns from its rollouts; how it learns is the subclass's.

    Attributes:
        learning_rate: Step size of the optimiser, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between updates.
        hidden_sizes: Widths of the default networks.
        activation: Nonlinearity of the default networks: tanh, relu, silu, elu, gelu or leaky_relu.
        shared_torso: Whether policy and value share all but the last layer of the default network.
        network: Makes an `AbstractActorCritic` out of the spaces and a key; None for perceptrons.
        normalise_observations: Whether the networks see floating-point numbers at mean 0 and variance 1. They act by
            the moments of all rollouts before the present one, and learn by those with it: the next they act by.
        normalise_rewards: Whether rewards are divided by the deviation of their running discounted return, over all
            rollouts, and clipped at 10. Values and their losses are then in that unit.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    entropy_coefficient: RealScalarLike = 0.01
    value_coefficient: RealScalarLike = 0.5
    max_gradient_norm: RealScalarLike = 0.5
    rollout_length: int = eqx.field(static=True, default=128)
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="tanh")
    shared_torso: bool = eqx.field(static=True, default=False)
    network: Callable[..., AbstractActorCritic] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)
    normalise_rewards: bool = eqx.field(static=True, default=False)

    @property
    def requirements(self) -> OnPolicy:
        """Fresh rollouts."""
        return OnPolicy(self.rollout_length)

    def init_accumulators(self, spaces: Spaces) -> Any:
        """The running return of a lane, where rewards are normalised."""
        del spaces
        return jnp.zeros(()) if self.normalise_rewards else None

    def act(self, state: Any, observation, memory, *, step, key, explore=True):
        """Samples from the policy, or takes its mode."""
        del step
        pi = state.model.actor(normalised(state.moments, observation))
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    @property
    @abc.abstractmethod
    def _optimiser(self) -> optax.GradientTransformation:
        """The direction of descent."""

    def _start(self, spaces: Spaces, key: Key[Array, ""]) -> ActorCriticState:
        """Draws the model and starts its optimiser and all moments."""
        if self.network is None:
            model = actor_critic(spaces, self.hidden_sizes, self.activation, shared=self.shared_torso, key=key)
        else:
            model = functions_as_nodes(self.network(spaces, key=key))
        moments = observation_moments(spaces) if self.normalise_observations else None
        reward_moments = init_moments(jnp.zeros(())) if self.normalise_rewards else None
        return ActorCriticState(model, init_optimiser(model, self._optimiser), moments, reward_moments)

    def _learn_once(self, state: Any, samples: Sample, step: Float[Array, ""], axis_name: str | None):
        """Takes one gradient step on a whole rollout."""
        rate = value_at(self.learning_rate, step)
        return descended(state, self._policy_gradient, samples, self._optimiser, rate, axis_name)

    def _policy_gradient(self, model: AbstractActorCritic, samples: Sample):
        """Returns the loss of an actor-critic: score function, regression of the value, entropy bonus."""

        def one(sample: Sample):
            pi, value = model(sample.observation)
            policy_loss = policy_gradient_loss(pi.log_prob(sample.action), sample.advantage)
            return policy_loss, value_loss(value, sample.target), pi.entropy()

        parts = jax.vmap(one)(samples)
        if samples.weight is not None:
            parts = tuple(samples.weight * part for part in parts)
        return actor_critic_loss(*parts, self.value_coefficient, self.entropy_coefficient)


def clipped_optimiser(
    name: str, max_gradient_norm: RealScalarLike, epsilon: RealScalarLike
) -> optax.GradientTransformation:
    """Returns the direction of `adam` or of `rmsprop`, of gradients shortened to a norm."""
    if name == "adam":
        return clipped_adam(max_gradient_norm, epsilon)
    if name == "rmsprop":
        scale = optax.scale_by_rms(decay=0.99, eps=epsilon, eps_in_sqrt=False)  # pyright: ignore[reportArgumentType]
        return optax.chain(optax.clip_by_global_norm(max_gradient_norm), scale)
    raise ValueError(f"optimiser must be adam or rmsprop; got {name!r}")
