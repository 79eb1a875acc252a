"""What all deep learners of action values have in common."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, Key, PyTree

from .._core import (
    Batch,
    Counter,
    Feedback,
    Masked,
    Scheduled,
    Spaces,
    Transition,
    functions_as_nodes,
    gradient_step,
    init_optimiser,
    lane_keys,
    masked_mean,
    value_and_grad,
    value_at,
)
from ..networks import count_noisy, perturbed
from ..policies import epsilon_greedy
from ..transforms import Moments
from ._checks import check_counts
from ._networks import legal
from ._normalisation import normalised
from ._replay_learner import AbstractReplayLearner
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


class AbstractDQN(AbstractReplayLearner[DQNState]):
    """Deep Q-learning from replayed transitions, with a target network and an ε-greedy policy.

    A subclass says what network there is, what its outputs mean as action values, and what is learned from an example.

    Attributes:
        learning_rate: Step size of Adam, a number or a schedule over environment steps.
        epsilon: ε of the behaviour policy, a number or a schedule over environment steps.
        double: Whether the online network selects the next action; else the target network does both.
        dueling: Whether the default network has a stream each for the value of the state and for the advantages.
        noisy: Whether to explore by noise of a learned scale in the weights instead of ε; a `network` of one's own
            must then have noisy layers.
        target_period: Updates between moves of the target network.
        network: Makes a module from an observation to its outputs, out of the spaces and a key; None for a
            perceptron. An action mask beside the observation is given to it too, and applied to the action values.
    """

    learning_rate: Scheduled = 2.5e-4
    epsilon: Scheduled = 0.1
    double: bool = eqx.field(static=True, default=True)
    dueling: bool = eqx.field(static=True, default=False)
    noisy: bool = eqx.field(static=True, default=False)
    target_period: int = eqx.field(static=True, default=100)
    network: Callable[..., Network] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_counts(self, "target_period")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> DQNState:
        """Draws the network, copies it to the target and starts the optimiser."""
        if self.network is None:
            online = self._default_network(spaces, key)
        else:
            online = functions_as_nodes(self.network(spaces, key=key))
        if self.noisy and not count_noisy(online):
            raise ValueError(f"{type(self).__name__}: noisy, but the network has no networks.NoisyLinear")
        optimiser = init_optimiser(online, self._optimiser)
        return DQNState(online, copied(online), optimiser, Counter.zero(), self._init_moments(spaces))

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
        batch, discount, moments = self._prepared(state, batch, axis_name)
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

    def _loss(self, online: Network, target: Network, batch: Batch, discount: Array, keys: Array, axis_name):
        chooser = online if self.double else target

        def one(transition, discount, key):
            selector = legal(self._values(chooser, transition.next_observation), transition.next_observation)
            return self._example(online, target, transition, discount, jax.lax.stop_gradient(selector), key)

        example = jax.vmap(one)(batch.transition, discount, keys)
        loss = example.loss if batch.weight is None else batch.weight * example.loss
        metrics: dict[str, Any] = {"loss": loss} | example.metrics
        for name, values in metrics.items():
            metrics[name] = values.mean() if batch.mask is None else masked_mean(values, batch.mask, axis_name)
        return metrics["loss"], (metrics, example.priority)
