"""What the soft actor-critics share: a temperature, and a squashed Gaussian."""

import abc
import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, Scheduled, gradient_step, guard, init_optimiser, value_and_grad, value_at
from ..losses import sac_actor_loss, temperature_loss
from ._checks import check_counts, check_not_negative
from ._exploration import ActionBox
from ._exploration_state_dependent import NoiseMatrix, StateDependentActor
from ._off_policy_actor_critic import AbstractOffPolicyActorCritic, mean_loss
from ._off_policy_actor_critic_networks import Networks, SquashedActor, predictions
from ._off_policy_actor_critic_state import Temperature


class AbstractSoftActorCritic(AbstractOffPolicyActorCritic):
    """An actor that is paid for its entropy.

    Attributes:
        temperature: α, what an entropy of one nat is worth in units of reward; where it is learned, what it starts at.
        learn_temperature: Whether the temperature moves until the policy has the target entropy.
        temperature_learning_rate: Step size of Adam for its logarithm, a number or a schedule over environment steps.
    """

    temperature: RealScalarLike = 1.0
    learn_temperature: bool = eqx.field(static=True, default=True)
    temperature_learning_rate: Scheduled = 3e-4

    def __check_init__(self):
        kind = type(self).__name__
        check_not_negative(self, "temperature")
        if self.learn_temperature:
            guard(self.temperature, lambda x: x > 0, f"{kind}: temperature must be positive where it is learned")

    def _completed(self, state):
        if not self.learn_temperature:
            return state
        log_alpha = jnp.log(jnp.asarray(self.temperature, float))
        return dataclasses.replace(
            state, temperature=Temperature(log_alpha, init_optimiser(log_alpha, self._optimiser))
        )

    def _alpha(self, state) -> RealScalarLike:
        return self.temperature if state.temperature is None else jnp.exp(state.temperature.log_alpha)

    def _learn_temperature(self, state, noted, batch, step, axis_name):
        metrics = {"temperature": jnp.asarray(self._alpha(state), float)}
        loss, entropy = self._temperature_loss, self._entropy(noted)
        metrics["entropy"] = mean_loss(entropy, batch, axis_name)
        if state.temperature is None:
            return state, metrics

        def objective(log_alpha):
            return mean_loss(loss(state, log_alpha, noted), batch, axis_name), None

        _, gradient = value_and_grad(objective, axis_name)(state.temperature.log_alpha)
        rate = value_at(self.temperature_learning_rate, step)
        log_alpha, optimiser, more = gradient_step(
            state.temperature.log_alpha, gradient, self._optimiser, state.temperature.optimiser, rate
        )
        state = dataclasses.replace(state, temperature=Temperature(log_alpha, optimiser))
        return state, metrics | {"skipped": more["skipped"]}

    @abc.abstractmethod
    def _entropy(self, noted) -> Float[Array, " batch"]:
        """Returns the policy's entropy, or an estimate of it, for each example."""

    @abc.abstractmethod
    def _temperature_loss(self, state, log_alpha, noted) -> Float[Array, " batch"]:
        """Returns the loss of the temperature for each example."""


class AbstractGaussianActorCritic(AbstractSoftActorCritic):
    """A soft actor that is a squashed Gaussian over a Box.

    Attributes:
        target_entropy: What a learned temperature aims at, in nats a dimension of the action, the action being measured
            in halves of its range.
        state_dependent: Whether the noise is a function of the state, the same one for `noise_period` steps.
        noise_period: Steps of an episode between draws of that function.
        initial_log_stddev: Logarithm of the deviation of its numbers at the start.
    """

    target_entropy: RealScalarLike = -1.0
    state_dependent: bool = eqx.field(static=True, default=False)
    noise_period: int = eqx.field(static=True, default=32)
    initial_log_stddev: RealScalarLike = -3.0

    def __check_init__(self):
        kind = type(self).__name__
        check_counts(self, "noise_period")
        if self.state_dependent and (self.network is not None or not self.hidden_sizes):
            raise ValueError(f"{kind}: state_dependent needs the default networks, with a hidden layer")

    def init_memory(self, spaces):
        """The matrix of state-dependent noise."""
        if not self.state_dependent:
            return None
        return NoiseMatrix.start(self.hidden_sizes[-1], ActionBox.of(spaces.action).size)

    def _actions(self, spaces):
        return ActionBox.of(spaces.action)

    def _actor(self, networks: Networks, *, key) -> SquashedActor | StateDependentActor:
        if self.state_dependent:
            return networks.state_dependent_actor(self.initial_log_stddev, key=key)
        return networks.squashed_actor(key=key)

    def _explore(self, state, observation, memory, *, step, key):
        del step
        if not self.state_dependent:
            return state.actor(observation).sample(seed=key), memory
        matrix, memory = memory.at_hand(self.noise_period, key=key)
        return state.actor.act(observation, matrix), memory

    def _exploit(self, state, observation):
        return state.actor(observation).mode()

    def _sampled(self, actor, observation, keys):
        """Draws one action an example, with its log-probability."""
        return jax.vmap(lambda observation, key: actor(observation).sample_and_log_prob(seed=key))(observation, keys)

    def _actor_loss(self, state, actor, observation, keys):
        action, log_prob = self._sampled(actor, observation, keys)
        q = self._pooled(predictions(state.critics, observation, action))
        return sac_actor_loss(log_prob, q, self._alpha(state)), log_prob

    @abc.abstractmethod
    def _pooled(self, q) -> Float[Array, " batch"]:
        """Returns the value that the actor climbs, out of what each critic says."""

    def _entropy(self, noted):
        return -noted

    def _temperature_loss(self, state, log_alpha, noted):
        return temperature_loss(log_alpha, noted, self.target_entropy * state.actions.size)
