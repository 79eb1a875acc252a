"""What algorithms with a policy and a value function of their own rollouts have in common."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, Key

from .._core import (
    RealScalarLike,
    Spaces,
    clipped_adam,
    functions_as_nodes,
    init_optimiser,
    value_at,
)
from ..losses import policy_gradient_loss, value_loss
from ..transforms import Moments
from ._actor_critic_loss import actor_critic_loss
from ._contract import State
from ._networks import AbstractActorCritic, actor_critic
from ._normalisation import normalised
from ._rollout_learner import AbstractRolloutLearner
from ._rollouts import Sample, descended


class ActorCriticState(eqx.Module):
    """What an actor-critic carries from update to update."""

    model: AbstractActorCritic
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None


class AbstractActorCriticLearner(AbstractRolloutLearner[State]):
    """Acts by `state.model` and learns from its rollouts; how it learns is the subclass's.

    Attributes:
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        hidden_sizes: Widths of the default networks.
        shared_torso: Whether policy and value share all but the last layer of the default network.
        convolution: Whether the default networks see images through a convolution, or else as vectors,
            which costs far less.
        network: Makes an `AbstractActorCritic` out of the spaces and a key; None for perceptrons.
    """

    entropy_coefficient: RealScalarLike = 0.01
    value_coefficient: RealScalarLike = 0.5
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    shared_torso: bool = eqx.field(static=True, default=False)
    convolution: bool = eqx.field(static=True, default=True)
    network: Callable[..., AbstractActorCritic] | None = eqx.field(static=True, default=None)

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
            settings = {"shared": self.shared_torso, "convolution": self.convolution}
            model = actor_critic(spaces, self.hidden_sizes, self.activation, **settings, key=key)
        else:
            model = functions_as_nodes(self.network(spaces, key=key))
        return ActorCriticState(model, init_optimiser(model, self._optimiser), *self._init_moments(spaces))

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
