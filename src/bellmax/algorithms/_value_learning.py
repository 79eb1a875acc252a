"""What all deep learners of action values have in common."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from .._core import (
    Batch,
    Counter,
    Feedback,
    Masked,
    RealScalarLike,
    Scheduled,
    Spaces,
    Transition,
    clipped_adam,
    functions_as_nodes,
    gradient_step,
    guard,
    init_optimiser,
    lane_keys,
    masked_mean,
    value_and_grad,
    value_at,
)
from ..networks import count_noisy, perturbed
from ..policies import epsilon_greedy
from ..transforms import Moments
from ._contract import AbstractAlgorithm, OffPolicy
from ._n_step import n_step_batch
from ._normalisation import counted, normalised, normalised_transition, observation_moments
from ._targets import copied, moved

Network = Callable[..., Float[Array, "actions *atoms"]]


class DQNState(eqx.Module):
    """What DQN and its relatives carry from update to update."""

    online: Network
    target: Network
    optimiser: optax.OptState
    updates: Counter
    moments: Moments | None = None


class Example(eqx.Module):
    """What one example says.

    Attributes:
        loss: To be minimised, before importance weights.
        priority: How much there is to learn, not negative.
        metrics: To be averaged and shown.
    """

    loss: Float[Array, "*batch"]
    priority: Float[Array, "*batch"]
    metrics: dict[str, Float[Array, "*batch"]]


class AbstractDQN(AbstractAlgorithm[DQNState]):
    """Deep Q-learning from replayed transitions, with a target network and an ε-greedy policy.

    A subclass says what network there is, what its outputs mean as action values, and what is learned from an example.

    Attributes:
        learning_rate: Step size of Adam, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        epsilon: ε of the behaviour policy, a number or a schedule over environment steps.
        double: Whether the online network selects the next action; else the target network does both.
        dueling: Whether the default network has a stream each for the value of the state and for the advantages.
        noisy: Whether to explore by noise of a learned scale in the weights instead of ε; a `network` of one's own
            must then have noisy layers.
        n_step: Rewards added up before the bootstrap; fewer where the episode ends.
        prioritised: Whether examples are replayed in proportion to a power of what there was to learn from them.
        priority_exponent: α, that power; 0 for uniform replay.
        importance_exponent: β, how far importance weights make up for it, from 0 to 1; a number or a schedule over
            environment steps.
        target_period: Updates between moves of the target network.
        target_step: How far the target network moves towards the online one, from 0 to 1.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between rounds of updates.
        updates: Updates in a round.
        batch_size: Transitions an update, over all lanes; divisible by their number.
        capacity: Transitions in replay, over all lanes.
        warm_up: Environment steps before the first update.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        hidden_sizes: Widths of the default network.
        activation: Nonlinearity of the default network: tanh, relu, silu, elu, gelu or leaky_relu.
        network: Makes a module from an observation to its outputs, out of the spaces and a key; None for a
            perceptron. An action mask beside the observation is given to it too, and applied to the action values.
        normalise_observations: Whether the network sees floating-point numbers at mean 0 and variance 1, by the moments
            of all batches so far.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    epsilon: Scheduled = 0.1
    double: bool = eqx.field(static=True, default=True)
    dueling: bool = eqx.field(static=True, default=False)
    noisy: bool = eqx.field(static=True, default=False)
    n_step: int = eqx.field(static=True, default=1)
    prioritised: bool = eqx.field(static=True, default=False)
    priority_exponent: RealScalarLike = 0.6
    importance_exponent: Scheduled = 0.4
    target_period: int = eqx.field(static=True, default=100)
    target_step: RealScalarLike = 1.0
    max_gradient_norm: RealScalarLike = 10.0
    rollout_length: int = eqx.field(static=True, default=1)
    updates: int = eqx.field(static=True, default=1)
    batch_size: int = eqx.field(static=True, default=128)
    capacity: int = eqx.field(static=True, default=100_000)
    warm_up: int = eqx.field(static=True, default=1_000)
    adam_epsilon: RealScalarLike = 1e-8
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="relu")
    network: Callable[..., Network] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        kind = type(self).__name__
        for name in ("target_period", "rollout_length", "updates", "batch_size", "capacity", "warm_up", "n_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"{kind}: {name} must be at least 1; got {getattr(self, name)}")
        for name in ("discount", "target_step"):
            guard(getattr(self, name), lambda x: (x >= 0) & (x <= 1), f"{kind}: {name} must be in [0, 1]")
        guard(self.priority_exponent, lambda x: x >= 0, f"{kind}: priority_exponent must not be negative")

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

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> DQNState:
        """Draws the network, copies it to the target and starts the optimiser."""
        if self.network is None:
            online = self._default_network(spaces, key)
        else:
            online = functions_as_nodes(self.network(spaces, key=key))
        if self.noisy and not count_noisy(online):
            raise ValueError(f"{type(self).__name__}: noisy, but the network has no networks.NoisyLinear")
        moments = observation_moments(spaces) if self.normalise_observations else None
        return DQNState(online, copied(online), init_optimiser(online, self._optimiser), Counter.zero(), moments)

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Takes the best action; when exploring any with probability ε, or the best with noisy weights."""
        online, epsilon = state.online, value_at(self.epsilon, step)
        if self.noisy and explore:
            noise_key, key = jax.random.split(key)
            online, epsilon = perturbed(online, noise_key), 0.0
        observation = normalised(state.moments, observation)
        q, mask = self._values(online, observation), Masked.of(observation).action_mask
        pi = epsilon_greedy(q, mask=mask, eps=epsilon if explore else 0.0)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one batch of transitions."""
        batch, discount = n_step_batch(batch, self.discount, self.n_step)
        moments = counted(state.moments, batch, axis_name)
        batch = dataclasses.replace(batch, transition=normalised_transition(state.moments, batch.transition))
        online, target = state.online, state.target
        if self.noisy:
            online_key, target_key, key = jax.random.split(key, 3)
            online, target = perturbed(online, online_key), perturbed(target, target_key)
        keys = lane_keys(key, discount.shape[0], axis_name)
        (_, (metrics, priority)), gradient = value_and_grad(self._loss, axis_name)(
            online, target, batch, discount, keys, axis_name
        )
        online, optimiser, step_metrics = gradient_step(
            state.online, gradient, self._optimiser, state.optimiser, value_at(self.learning_rate, step)
        )
        updates = state.updates + 1
        target = moved(state.target, online, self.target_step, updates.low % self.target_period == 0)
        return DQNState(online, target, optimiser, updates, moments), metrics | step_metrics, Feedback(priority)

    @abc.abstractmethod
    def _default_network(self, spaces: Spaces, key: Key[Array, ""]) -> Network:
        """Makes the network where the user brings none."""

    @abc.abstractmethod
    def _values(self, network: Network, observation: PyTree[Array]) -> Float[Array, " actions"]:
        """Returns the action values, whatever the mask says."""

    @abc.abstractmethod
    def _example(
        self,
        online: Network,
        target: Network,
        transition: Transition,
        discount: Float[Array, ""],
        selector: Float[Array, " actions"],
        key: Key[Array, ""],
    ) -> Example:
        """Says what is to be learned from one transition.

        Args:
            online: The network that learns.
            target: The network that evaluates the next action.
            transition: One transition, over one step or several.
            discount: What its bootstrap is worth; 0 where the episode terminated.
            selector: Values whose best action is the next one; −∞ for what the mask forbids.
            key: Randomness of this example.
        """

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _loss(self, online: Network, target: Network, batch: Batch, discount: Array, keys: Array, axis_name):
        chooser = online if self.double else target

        def one(transition, discount, key):
            selector = legal(self._values(chooser, transition.next_observation), transition.next_observation)
            return self._example(online, target, transition, discount, jax.lax.stop_gradient(selector), key)

        transition = batch.transition
        if batch.mask is not None:  # what does not count must not reach the gradient as NaN
            transition = dataclasses.replace(transition, reward=jnp.where(batch.mask, transition.reward, 0))
        example = jax.vmap(one)(transition, discount, keys)
        loss = example.loss if batch.weight is None else batch.weight * example.loss
        metrics: dict[str, Any] = {"loss": loss} | example.metrics
        for name, values in metrics.items():
            metrics[name] = values.mean() if batch.mask is None else masked_mean(values, batch.mask, axis_name)
        return metrics["loss"], (metrics, example.priority)


def legal(q: Float[Array, " actions"], observation: PyTree[Array]) -> Float[Array, " actions"]:
    """Returns action values, −∞ for actions that the mask beside the observation forbids."""
    mask = Masked.of(observation).action_mask
    return q if mask is None else jnp.where(mask != 0, q, -jnp.inf)
