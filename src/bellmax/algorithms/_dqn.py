"""Deep Q-networks."""

import dataclasses
from collections.abc import Callable

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
    clipped_adam,
    functions_as_nodes,
    gradient_step,
    guard,
    init_optimiser,
    masked_mean,
    value_and_grad,
    value_at,
)
from ..losses import double_q_learning_error, q_learning_error
from ..policies import epsilon_greedy
from ..transforms import Moments
from ._contract import AbstractAlgorithm, OffPolicy
from ._networks import q_network
from ._normalisation import counted, normalised, normalised_transition, observation_moments
from ._targets import copied, moved

QNetwork = Callable[[PyTree[Array]], Float[Array, " actions"]]


class DQNState(eqx.Module):
    """What DQN carries from update to update."""

    online: QNetwork
    target: QNetwork
    optimiser: optax.OptState
    updates: Counter
    moments: Moments | None = None


class DQN(AbstractAlgorithm[DQNState]):
    """Deep Q-learning from replayed transitions, with a target network and an ε-greedy policy.

    By default the online network selects the next action and the target network evaluates it.

    Attributes:
        learning_rate: Step size of Adam, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        epsilon: ε of the behaviour policy, a number or a schedule over environment steps.
        double: Whether the online network selects the next action; else the target network does both.
        target_period: Updates between moves of the target network.
        target_step: How far the target network moves towards the online one, from 0 to 1.
        huber_delta: Errors beyond this cost linearly, in units of the return.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between rounds of updates.
        updates: Updates in a round.
        batch_size: Transitions an update, over all lanes; divisible by their number.
        capacity: Transitions in replay, over all lanes.
        warm_up: Environment steps before the first update.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        hidden_sizes: Widths of the default network.
        activation: Nonlinearity of the default network: tanh, relu, silu, elu, gelu or leaky_relu.
        network: Makes a module from an observation to action values, out of the spaces and a key; None for a
            perceptron. An action mask beside the observation is given to it too, and applied to what it returns.
        normalise_observations: Whether the network sees floating-point numbers at mean 0 and variance 1, by the moments
            of all batches so far.

    References:
        Mnih et al., *Human-level control through deep reinforcement learning*, 2015. Van Hasselt, Guez and Silver,
        *Deep Reinforcement Learning with Double Q-learning*, 2015, arXiv:1509.06461.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    epsilon: Scheduled = 0.1
    double: bool = eqx.field(static=True, default=True)
    target_period: int = eqx.field(static=True, default=100)
    target_step: RealScalarLike = 1.0
    huber_delta: RealScalarLike = 1.0
    max_gradient_norm: RealScalarLike = 10.0
    rollout_length: int = eqx.field(static=True, default=1)
    updates: int = eqx.field(static=True, default=1)
    batch_size: int = eqx.field(static=True, default=128)
    capacity: int = eqx.field(static=True, default=100_000)
    warm_up: int = eqx.field(static=True, default=1_000)
    adam_epsilon: RealScalarLike = 1e-8
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="relu")
    network: Callable[..., QNetwork] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        for name in ("target_period", "rollout_length", "updates", "batch_size", "capacity", "warm_up"):
            if getattr(self, name) < 1:
                raise ValueError(f"DQN: {name} must be at least 1; got {getattr(self, name)}")
        for name in ("discount", "target_step"):
            guard(getattr(self, name), lambda x: (x >= 0) & (x <= 1), f"DQN: {name} must be in [0, 1]")

    @property
    def requirements(self) -> OffPolicy:
        """Replayed transitions."""
        return OffPolicy(self.rollout_length, self.updates, self.batch_size, self.capacity, self.warm_up)

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> DQNState:
        """Draws the network, copies it to the target and starts the optimiser."""
        if self.network is None:
            online = q_network(spaces, self.hidden_sizes, self.activation, key=key)
        else:
            online = functions_as_nodes(self.network(spaces, key=key))
        target = copied(online)
        moments = observation_moments(spaces) if self.normalise_observations else None
        return DQNState(online, target, init_optimiser(online, self._optimiser), Counter.zero(), moments)

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Takes the best action, or any with probability ε when exploring."""
        q = _values(state.online, normalised(state.moments, observation))
        mask = Masked.of(observation).action_mask
        pi = epsilon_greedy(q, mask=mask, eps=value_at(self.epsilon, step) if explore else 0.0)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one batch of transitions."""
        del key
        moments = counted(state.moments, batch, axis_name)
        batch = dataclasses.replace(batch, transition=normalised_transition(state.moments, batch.transition))
        (_, (metrics, error)), gradient = value_and_grad(self._loss, axis_name)(
            state.online, state.target, batch, axis_name
        )
        online, optimiser, step_metrics = gradient_step(
            state.online, gradient, self._optimiser, state.optimiser, value_at(self.learning_rate, step)
        )
        updates = state.updates + 1
        target = moved(state.target, online, self.target_step, updates.low % self.target_period == 0)
        return DQNState(online, target, optimiser, updates, moments), metrics | step_metrics, Feedback(jnp.abs(error))

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _loss(self, online: QNetwork, target: QNetwork, batch: Batch, axis_name: str | None):
        def one(transition):
            q = _values(online, transition.observation)
            next_q = _values(target, transition.next_observation)
            discount = jnp.where(transition.terminated, 0.0, self.discount)
            if self.double:
                selector = _values(online, transition.next_observation)
                error = double_q_learning_error(q, transition.action, transition.reward, discount, next_q, selector)
            else:
                error = q_learning_error(q, transition.action, transition.reward, discount, next_q)
            return error, jnp.max(q)

        error, value = jax.vmap(one)(batch.transition)
        loss = optax.losses.huber_loss(error, delta=self.huber_delta)
        if batch.weight is not None:
            loss = batch.weight * loss
        loss = loss.mean() if batch.mask is None else masked_mean(loss, batch.mask, axis_name)
        metrics = {"loss": loss, "q": value.mean(), "absolute_error": jnp.abs(error).mean()}
        return metrics["loss"], (metrics, error)


def _values(network: QNetwork, observation: PyTree[Array]) -> Float[Array, " actions"]:
    """Returns the action values, −∞ for actions that the mask beside the observation forbids."""
    q, mask = network(observation), Masked.of(observation).action_mask
    return q if mask is None else jnp.where(mask != 0, q, -jnp.inf)
