"""What actor-critics that learn from replay share."""

import abc
import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from .._core import (
    Batch,
    Counter,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    functions_as_nodes,
    gradient_step,
    init_optimiser,
    lane_keys,
    masked_mean,
    value_and_grad,
    value_at,
)
from ._checks import check_counts
from ._exploration import ActionBox, Options
from ._normalisation import normalised
from ._off_policy_actor_critic_networks import ActorQ, ensemble, predictions
from ._off_policy_actor_critic_state import OffPolicyActorCriticState
from ._replay_learner import AbstractReplayLearner
from ._targets import copied, moved


class AbstractOffPolicyActorCritic(AbstractReplayLearner[OffPolicyActorCriticState]):
    """An actor that follows an ensemble of critics, which learn from replayed transitions.

    An update moves the critics towards their target, then the actor up the new critics, then the target networks.

    Attributes:
        actor_learning_rate: Step size of Adam for the actor, a number or a schedule over environment steps.
        critic_learning_rate: Step size of Adam for the critics, likewise.
        members: Number of critics.
        policy_delay: Updates of the critics for each update of the actor.
        warm_up: Environment steps with actions drawn uniformly, that are only kept: the first update follows the first
            round that begins after them.
        network: Makes an `ActorQ` out of the spaces and a key; None for perceptrons. It is asked with a key for the
            actor, and with one for each critic.
    """

    actor_learning_rate: Scheduled = 3e-4
    critic_learning_rate: Scheduled = 3e-4
    members: int = eqx.field(static=True, default=2)
    policy_delay: int = eqx.field(static=True, default=1)
    target_step: RealScalarLike = 0.005
    max_gradient_norm: RealScalarLike = float("inf")
    batch_size: int = eqx.field(static=True, default=256)
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(256, 256))
    network: Callable[..., ActorQ] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_counts(self, "members", "policy_delay")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> OffPolicyActorCriticState:
        """Draws the networks, copies the targets and starts the optimisers."""
        actions = self._actions(spaces)
        actor_key, critic_key = jax.random.split(key)
        make = self._networks if self.network is None else self.network
        actor = functions_as_nodes(make(spaces, key=actor_key).actor)
        critics = ensemble(lambda key: make(spaces, key=key), self.members, key=critic_key)
        state = OffPolicyActorCriticState(
            actor,
            critics,
            copied(critics),
            init_optimiser(actor, self._optimiser),
            init_optimiser(critics, self._optimiser),
            Counter.zero(),
            actions,
            moments=self._init_moments(spaces),
        )
        return self._completed(state)

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Explores, uniformly while `warm_up` lasts; or takes the actor's mode."""
        observation = normalised(state.moments, observation)
        if not explore:
            return state.actions.widened(self._exploit(state, observation)), None, memory
        random_key, key = jax.random.split(key)
        action, memory = self._explore(state, observation, memory, step=step, key=key)
        action = jnp.where(step < self.warm_up, state.actions.random(observation, random_key), action)
        return state.actions.widened(action), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one batch of transitions."""
        batch, discount, moments = self._prepared(state, batch, axis_name)
        # One key an example, from its index among the examples of all devices.
        keys = lane_keys(key, discount.shape[0], axis_name)
        ahead_keys, actor_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
        ahead = jax.lax.stop_gradient(self._look_ahead(state, batch.transition.next_observation, ahead_keys))
        state, metrics, error = self._learn_critics(state, batch, discount, ahead, step, axis_name)
        updates = state.updates + 1
        due = updates.low % self.policy_delay == 0

        def learn(state):
            return self._learn_actor(state, batch, actor_keys, step, axis_name)

        def wait(state):
            _, metrics = jax.eval_shape(learn, state)
            return state, {name: jnp.full_like(leaf, jnp.nan) for name, leaf in metrics.items()} | {
                "skipped": jnp.zeros(())
            }

        state, more = learn(state) if self.policy_delay == 1 else jax.lax.cond(due, learn, wait, state)
        state = dataclasses.replace(self._with_targets_moved(state, due), updates=updates, moments=moments)
        return state, metrics | more | {"skipped": metrics["skipped"] + more["skipped"]}, Feedback(error)

    def _learn_critics(self, state, batch: Batch, discount, ahead, step, axis_name):
        action = jax.vmap(state.actions.scaled)(batch.transition.action)

        def objective(critics):
            q = self._predictions(critics, batch.transition.observation, action)
            loss, error = self._critic_loss(state, q, batch.transition.reward, discount, ahead)
            loss = loss if batch.weight is None else batch.weight * loss
            seen = {"critic_loss": loss, "q": q.mean(axis=(0, *range(2, q.ndim))), "absolute_error": error}
            metrics = {name: mean_loss(values, batch, axis_name) for name, values in seen.items()}
            return metrics["critic_loss"], (metrics, error)

        (_, (metrics, error)), gradient = value_and_grad(objective, axis_name)(state.critics)
        rate = value_at(self.critic_learning_rate, step)
        critics, optimiser, more = gradient_step(state.critics, gradient, self._optimiser, state.critic_optimiser, rate)
        return dataclasses.replace(state, critics=critics, critic_optimiser=optimiser), metrics | more, error

    def _learn_actor(self, state, batch: Batch, keys, step, axis_name):
        def objective(actor):
            loss, noted = self._actor_loss(state, actor, batch.transition.observation, keys)
            return mean_loss(loss, batch, axis_name), noted

        (loss, noted), gradient = value_and_grad(objective, axis_name)(state.actor)
        rate = value_at(self.actor_learning_rate, step)
        actor, optimiser, more = gradient_step(state.actor, gradient, self._optimiser, state.actor_optimiser, rate)
        metrics = {"actor_loss": loss, "actor_gradient_norm": more["gradient_norm"], "skipped": more["skipped"]}
        state = dataclasses.replace(state, actor=actor, actor_optimiser=optimiser)
        state, further = self._learn_temperature(state, noted, batch, step, axis_name)
        return state, metrics | further | {"skipped": metrics["skipped"] + further.get("skipped", 0.0)}

    def _with_targets_moved(self, state, due):
        """Moves the target critics at every update; a target actor, and the critics with it, with the actor."""
        if state.target_actor is None:
            return dataclasses.replace(
                state, target_critics=moved(state.target_critics, state.critics, self.target_step)
            )
        pair = moved((state.target_actor, state.target_critics), (state.actor, state.critics), self.target_step, due)
        return dataclasses.replace(state, target_actor=pair[0], target_critics=pair[1])

    @abc.abstractmethod
    def _actions(self, spaces: Spaces) -> ActionBox | Options:
        """Takes the actions of the spaces; refuses those that do not fit."""

    @abc.abstractmethod
    def _networks(self, spaces: Spaces, *, key: Key[Array, ""]) -> ActorQ:
        """Makes the default actor and one default critic."""

    def _completed(self, state: OffPolicyActorCriticState) -> OffPolicyActorCriticState:
        """Adds to a fresh state what one algorithm has and others have not."""
        return state

    @abc.abstractmethod
    def _explore(self, state, observation, memory, *, step, key) -> tuple[Array, PyTree[Array]]:
        """Chooses an action, in [−1, 1], for one observation; returns it and the memory."""

    @abc.abstractmethod
    def _exploit(self, state, observation) -> Array:
        """Returns the best action, in [−1, 1], for one observation."""

    @abc.abstractmethod
    def _look_ahead(self, state, next_observation, keys: Key[Array, " batch"]) -> PyTree[Array]:
        """Returns what is bootstrapped from, for each example."""

    def _predictions(self, critics, observation, action) -> Float[Array, "members batch *outputs"]:
        """Returns what each critic says of the actions taken."""
        return predictions(critics, observation, action)

    @abc.abstractmethod
    def _critic_loss(
        self, state, q, reward: Float[Array, " batch"], discount: Float[Array, " batch"], ahead
    ) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
        """Returns the loss of all critics and their mean absolute error, for each example."""

    @abc.abstractmethod
    def _actor_loss(
        self, state, actor, observation, keys: Key[Array, " batch"]
    ) -> tuple[Float[Array, " batch"], PyTree[Array]]:
        """Returns the loss of an actor for each example, and what the temperature learns from."""

    def _learn_temperature(self, state, noted, batch: Batch, step, axis_name: str | None):
        """Returns the state with a temperature that has learned, where there is one, and metrics."""
        del noted, batch, step, axis_name
        return state, {}


def mean_loss(loss: Float[Array, " batch"], batch: Batch, axis_name: str | None) -> Float[Array, ""]:
    """Averages over the examples that count."""
    return loss.mean() if batch.mask is None else masked_mean(loss, batch.mask, axis_name)
