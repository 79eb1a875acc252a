"""Two more algorithms, small but true, written against the contract as it stands: it must fit more than PPO and DQN."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bellmax import returns
from bellmax.algorithms import (
    AbstractAlgorithm,
    Feedback,
    OffPolicy,
    OnPolicy,
    gradient_step,
    init_optimiser,
    lane_keys,
    standardise,
    value_and_grad,
)
from bellmax.losses import ppo_clip_loss, value_loss
from bellmax.networks import MLP
from bellmax.policies import categorical


class SACState(eqx.Module):
    actor: MLP
    critics: tuple[MLP, MLP]
    targets: tuple[MLP, MLP]
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    centre: jax.Array
    half_width: jax.Array


class SAC(AbstractAlgorithm[SACState]):
    """Soft actor-critic with a fixed temperature: a squashed Gaussian and twin critics."""

    learning_rate: float = 3e-4
    discount: float = 0.99
    temperature: float = 0.1
    target_step: float = 0.005
    requirements_: OffPolicy = eqx.field(static=True, default=OffPolicy(1, 1, 64, 10_000, 100))
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(32, 32))

    @property
    def requirements(self):
        return self.requirements_

    def init(self, spaces, *, key):
        observation = jnp.zeros(spaces.observation.shape)
        action = jnp.zeros(spaces.action.shape)
        keys = jax.random.split(key, 3)
        actor = MLP(observation, 2 * action.size, self.hidden_sizes, activation=jax.nn.relu, key=keys[0])
        critics = tuple(
            MLP((observation, action), 1, self.hidden_sizes, activation=jax.nn.relu, key=key) for key in keys[1:]
        )
        low, high = np.asarray(spaces.action.low), np.asarray(spaces.action.high)
        return SACState(
            actor,
            critics,
            jax.tree.map(jnp.copy, critics),
            init_optimiser(actor, optax.scale_by_adam()),
            init_optimiser(critics, optax.scale_by_adam()),
            jnp.asarray((low + high) / 2),
            jnp.asarray((high - low) / 2),
        )

    def act(self, state, observation, memory, *, step, key, explore=True):
        del step
        action, _ = self._sample(state, state.actor, observation, key, explore)
        return action, None, memory

    def update(self, state, batch, *, step, key, axis_name=None):
        del step
        # One key an example, from its index among the examples of all devices.
        examples = lane_keys(key, batch.transition.reward.shape[0], axis_name)
        next_keys, keys = jnp.moveaxis(jax.vmap(jax.random.split)(examples), 1, 0)
        target = jax.lax.stop_gradient(
            jax.vmap(lambda t, key: self._target(state, t, key))(batch.transition, next_keys)
        )

        def critic_loss(critics):
            def one(transition, target):
                return sum(value_loss(q, target) for q in _values(critics, transition.observation, transition.action))

            loss = jax.vmap(one)(batch.transition, target).mean()
            return loss, loss

        def actor_loss(actor, critics):
            def one(observation, key):
                action, log_prob = self._sample(state, actor, observation, key, explore=True)
                return self.temperature * log_prob - jnp.minimum(*_values(critics, observation, action))

            loss = jax.vmap(one)(batch.transition.observation, keys).mean()
            return loss, loss

        adam = optax.scale_by_adam()
        (_, critic), gradient = value_and_grad(critic_loss, axis_name)(state.critics)
        critics, critic_optimiser, metrics = gradient_step(
            state.critics, gradient, adam, state.critic_optimiser, self.learning_rate
        )
        (_, actor), gradient = value_and_grad(actor_loss, axis_name)(state.actor, critics)
        policy, actor_optimiser, more = gradient_step(
            state.actor, gradient, adam, state.actor_optimiser, self.learning_rate
        )
        targets = jax.tree.map(lambda new, old: old + self.target_step * (new - old), critics, state.targets)
        metrics = {"critic_loss": critic, "actor_loss": actor, "skipped": metrics["skipped"] + more["skipped"]}
        state = SACState(policy, critics, targets, actor_optimiser, critic_optimiser, state.centre, state.half_width)
        return state, metrics, Feedback()

    def _sample(self, state, actor, observation, key, explore):
        mu, logvar = jnp.split(actor(observation), 2)
        logvar = jnp.clip(logvar, -10, 4)
        noise = jax.random.normal(key, mu.shape) if explore else jnp.zeros_like(mu)
        raw = mu + jnp.exp(logvar / 2) * noise
        log_det = jnp.log(state.half_width) + 2 * (jnp.log(2.0) - raw - jax.nn.softplus(-2 * raw))
        log_prob = jnp.sum(-0.5 * (noise**2 + logvar + jnp.log(2 * jnp.pi)) - log_det)
        return state.centre + state.half_width * jnp.tanh(raw), log_prob

    def _target(self, state, transition, key):
        action, log_prob = self._sample(state, state.actor, transition.next_observation, key, explore=True)
        q = jnp.minimum(*_values(state.targets, transition.next_observation, action))
        discount = jnp.where(transition.terminated, 0.0, self.discount)
        return transition.reward + discount * (q - self.temperature * log_prob)


def _values(critics, observation, action):
    return [critic((observation, action))[0] for critic in critics]


class RecurrentModel(eqx.Module):
    cell: eqx.nn.GRUCell
    actor: eqx.nn.Linear
    critic: eqx.nn.Linear

    def heads(self, memory):
        return categorical(self.actor(memory)), self.critic(memory)[0]


class RecurrentPPOState(eqx.Module):
    model: RecurrentModel
    optimiser: optax.OptState


class RecurrentPPO(AbstractAlgorithm[RecurrentPPOState]):
    """PPO over a gated recurrent unit, learning from whole sequences that begin in the middle of an episode."""

    learning_rate: float = 1e-2
    discount: float = 0.95
    gae_lambda: float = 0.95
    entropy_coefficient: float = 0.01
    epochs: int = eqx.field(static=True, default=4)
    rollout_length: int = eqx.field(static=True, default=16)
    memory_size: int = eqx.field(static=True, default=16)

    @property
    def requirements(self):
        return OnPolicy(self.rollout_length)

    def init(self, spaces, *, key):
        keys = jax.random.split(key, 3)
        model = RecurrentModel(
            eqx.nn.GRUCell(spaces.observation.shape[0], self.memory_size, key=keys[0]),
            eqx.nn.Linear(self.memory_size, int(spaces.action.n), key=keys[1]),
            eqx.nn.Linear(self.memory_size, 1, key=keys[2]),
        )
        return RecurrentPPOState(model, init_optimiser(model, optax.scale_by_adam()))

    def init_memory(self, spaces):
        return jnp.zeros(self.memory_size)

    def act(self, state, observation, memory, *, step, key, explore=True):
        del step
        memory = state.model.cell(observation, memory)
        pi, _ = state.model.heads(memory)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def unroll(self, model, transition, memory):
        """Replays one lane; what was remembered is forgotten wherever an episode ended."""
        ended = transition.terminated | transition.truncated
        first = jnp.concatenate([jnp.zeros(1, bool), ended[:-1]])  # a lane's memory is fresh when a rollout begins so

        def step(memory, now):
            observation, next_observation, first = now
            memory = model.cell(observation, jnp.where(first, 0.0, memory))
            pi, value = model.heads(memory)
            _, next_value = model.heads(model.cell(next_observation, memory))
            return memory, (pi, value, next_value)

        _, outputs = jax.lax.scan(step, memory, (transition.observation, transition.next_observation, first))
        return outputs

    def update(self, state, batch, *, step, key, axis_name=None):
        del step, key
        transition = batch.transition

        def outputs(model):
            pi, value, next_value = jax.vmap(self.unroll, (None, 1, 0), 1)(model, transition, batch.memory)
            return pi.log_prob(transition.action), pi.entropy(), value, next_value

        old_log_prob, _, value, next_value = jax.lax.stop_gradient(outputs(state.model))
        discounts = jnp.where(transition.terminated, 0.0, self.discount)
        lambdas = jnp.where(transition.truncated, 0.0, self.gae_lambda)
        advantage = returns.gae(value, transition.reward, discounts, next_value, lambdas)
        target, advantage = advantage + value, standardise(advantage, axis_name)

        def loss(model):
            log_prob, entropy, value, _ = outputs(model)
            policy = ppo_clip_loss(log_prob - old_log_prob, advantage).mean()
            total = policy + value_loss(value, target).mean() - self.entropy_coefficient * entropy.mean()
            return total, {"policy_loss": policy, "entropy": entropy.mean()}

        def epoch(state, _):
            (_, metrics), gradient = value_and_grad(loss, axis_name)(state.model)
            adam = optax.scale_by_adam()
            model, optimiser, more = gradient_step(state.model, gradient, adam, state.optimiser, self.learning_rate)
            return RecurrentPPOState(model, optimiser), metrics | more

        state, metrics = jax.lax.scan(epoch, state, None, length=self.epochs)
        return state, jax.tree.map(jnp.mean, metrics), Feedback()
