"""Proximal policy optimisation."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core import (
    Batch,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    functions_as_nodes,
    gradient_step,
    guard,
    init_optimiser,
    lane_keys,
    mean_and_variance,
    model_scan,
    pmean,
    random_order,
    standardise,
    value_and_grad_in_blocks,
    value_at,
)
from ..losses import clipped_value_loss, ppo_clip_loss, value_loss
from ..returns import gae
from ..transforms import Moments, init_moments
from ._contract import AbstractAlgorithm, OnPolicy
from ._networks import ActorCritic, actor_critic
from ._normalisation import counted, normalised, normalised_transition, observation_moments, scaled_rewards


class PPOState(eqx.Module):
    """What PPO carries from update to update."""

    model: ActorCritic
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None


class Sample(eqx.Module):
    """One example of a minibatch."""

    observation: PyTree[Array]
    action: PyTree[Array]
    log_prob: Float[Array, "*batch"]
    value: Float[Array, "*batch"]
    advantage: Float[Array, "*batch"]
    target: Float[Array, "*batch"]


class PPO(AbstractAlgorithm[PPOState]):
    """Proximal policy optimisation with a clipped surrogate, for discrete and for continuous actions.

    Each rollout is learned from several times over. Its steps are shuffled inside each lane, so every minibatch holds
    as many steps of each lane as of any other. Advantages are λ-estimates, standardised over each minibatch.

    Attributes:
        learning_rate: Step size of Adam, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        gae_lambda: λ of the advantage estimates.
        clip_epsilon: How far the probability ratio may move from 1.
        value_clip: Whether the value may move only as far, by `value_clip_epsilon`.
        value_clip_epsilon: How far the value may move, in units of the return.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between updates.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass; divides `rollout_length`.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        hidden_sizes: Widths of the default networks.
        activation: Nonlinearity of the default networks: tanh, relu, silu, elu, gelu or leaky_relu.
        network: Makes an `ActorCritic` out of the spaces and a key; None for perceptrons.
        normalise_observations: Whether the networks see floating-point numbers at mean 0 and variance 1. They act by
            the moments of all rollouts before the present one, and learn by those with it: the next they act by.
        normalise_rewards: Whether rewards are divided by the deviation of their running discounted return, over all
            rollouts, and clipped at 10. Values and their losses are then in that unit.

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347. Huang et al., *The 37
        Implementation Details of Proximal Policy Optimization*, 2022.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    gae_lambda: RealScalarLike = 0.95
    clip_epsilon: RealScalarLike = 0.2
    value_clip: bool = eqx.field(static=True, default=True)
    value_clip_epsilon: RealScalarLike = 0.2
    entropy_coefficient: RealScalarLike = 0.01
    value_coefficient: RealScalarLike = 0.5
    max_gradient_norm: RealScalarLike = 0.5
    rollout_length: int = eqx.field(static=True, default=128)
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    adam_epsilon: RealScalarLike = 1e-5
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64, 64))
    activation: str = eqx.field(static=True, default="tanh")
    network: Callable[..., ActorCritic] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)
    normalise_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        if min(self.rollout_length, self.epochs, self.minibatches) < 1:
            raise ValueError(
                "PPO: rollout_length, epochs and minibatches must be at least 1; got "
                f"{self.rollout_length}, {self.epochs} and {self.minibatches}"
            )
        for name in ("discount", "gae_lambda"):
            guard(getattr(self, name), lambda x: (x >= 0) & (x <= 1), f"PPO: {name} must be in [0, 1]")
        if self.rollout_length % self.minibatches:
            raise ValueError(
                f"PPO: minibatches must divide rollout_length; got {self.minibatches} and {self.rollout_length}"
            )

    @property
    def requirements(self) -> OnPolicy:
        """Fresh rollouts."""
        return OnPolicy(self.rollout_length)

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> PPOState:
        """Draws the networks and starts the optimiser."""
        if self.network is None:
            model = actor_critic(spaces, self.hidden_sizes, self.activation, key=key)
        else:
            model = functions_as_nodes(self.network(spaces, key=key))
        moments = observation_moments(spaces) if self.normalise_observations else None
        reward_moments = init_moments(jnp.zeros(())) if self.normalise_rewards else None
        return PPOState(model, init_optimiser(model, self._optimiser), moments, reward_moments)

    def init_accumulators(self, spaces):
        """The running return of a lane, where rewards are normalised."""
        del spaces
        return jnp.zeros(()) if self.normalise_rewards else None

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Samples from the policy, or takes its mode."""
        del step
        pi = state.model.actor(normalised(state.moments, observation))
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        if batch.weight is not None or batch.mask is not None:
            raise ValueError("PPO learns from whole rollouts of its own: a batch may have no weight and no mask")
        raw, moments = batch.transition.observation, counted(state.moments, batch, axis_name)
        batch = dataclasses.replace(batch, transition=normalised_transition(state.moments, batch.transition))
        reward_moments, batch = scaled_rewards(state.reward_moments, batch, self.discount, axis_name)
        samples = self._evaluate(state.model, batch)
        if moments is not None:
            # What was done and what it was worth stand by the moments of then; what is learned is acted on by the new.
            raw = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), raw)
            samples = dataclasses.replace(samples, observation=normalised(moments, raw))
        rate = value_at(self.learning_rate, step)
        lanes = batch.transition.reward.shape[1]

        def learn(state, indices):
            minibatch = jax.tree.map(lambda leaf: leaf[indices], samples)
            minibatch = dataclasses.replace(minibatch, advantage=standardise(minibatch.advantage, axis_name))
            (_, metrics), gradient = value_and_grad_in_blocks(self._loss, axis_name)(state.model, minibatch)
            model, optimiser, step_metrics = gradient_step(
                state.model, gradient, self._optimiser, state.optimiser, rate
            )
            return dataclasses.replace(state, model=model, optimiser=optimiser), metrics | step_metrics

        state, metrics = model_scan(learn, state, self._shuffle(lanes, key, axis_name))
        metrics = {name: jnp.mean(values, where=jnp.isfinite(values)) for name, values in metrics.items()}
        metrics["explained_variance"] = _explained_variance(samples.value, samples.target, axis_name)
        state = dataclasses.replace(state, moments=moments, reward_moments=reward_moments)
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _evaluate(self, model: ActorCritic, batch: Batch) -> Sample:
        """Gives every step its value, its advantage and the log-probability of its action, time and lanes as one."""
        transition = batch.transition
        shape = transition.reward.shape
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), transition)
        value = jax.vmap(model.critic)(flat.observation)
        next_value = jax.vmap(model.critic)(flat.next_observation)
        log_prob = jax.vmap(lambda observation, action: model.actor(observation).log_prob(action))(
            flat.observation, flat.action
        )
        advantage = gae(
            value.reshape(shape),
            transition.reward,
            jnp.where(transition.terminated, 0.0, self.discount),
            next_value.reshape(shape),
            jnp.where(transition.truncated, 0.0, self.gae_lambda),
        ).reshape(-1)
        return Sample(flat.observation, flat.action, log_prob, value, advantage, advantage + value)

    def _shuffle(self, lanes: int, key: Key[Array, ""], axis_name: str | None) -> Int[Array, "minibatches size"]:
        """Permutes time inside each lane, once an epoch; returns indices into the flattened rollout."""
        length = self.rollout_length
        permute = jax.vmap(jax.vmap(lambda key: random_order(key, length)))
        keys = jax.vmap(lambda key: lane_keys(key, lanes, axis_name))(jax.random.split(key, self.epochs))
        times = jnp.moveaxis(permute(keys), 1, 2)
        indices = times * lanes + jnp.arange(lanes)
        return indices.reshape(self.epochs * self.minibatches, length // self.minibatches * lanes)

    def _loss(self, model: ActorCritic, batch: Sample):
        def one(sample: Sample):
            pi = model.actor(sample.observation)
            log_ratio = pi.log_prob(sample.action) - sample.log_prob
            value = model.critic(sample.observation)
            return log_ratio, pi.entropy(), value, ppo_clip_loss(log_ratio, sample.advantage, epsilon=self.clip_epsilon)

        log_ratio, entropy, value, policy_loss = jax.vmap(one)(batch)
        if self.value_clip:
            critic_loss = clipped_value_loss(value, batch.target, batch.value, epsilon=self.value_clip_epsilon)
        else:
            critic_loss = value_loss(value, batch.target)
        metrics = {
            "policy_loss": policy_loss.mean(),
            "value_loss": critic_loss.mean(),
            "entropy": entropy.mean(),
            "approximate_kl": jnp.mean(jnp.expm1(log_ratio) - log_ratio),
            "clip_fraction": jnp.mean(jnp.abs(jnp.expm1(log_ratio)) > self.clip_epsilon),
        }
        loss = (
            metrics["policy_loss"]
            + self.value_coefficient * metrics["value_loss"]
            - self.entropy_coefficient * metrics["entropy"]
        )
        return loss, metrics


def _explained_variance(value, target, axis_name):
    """Returns how much of the target's variance the value explains: 1 for all, 0 for none, NaN if there is none."""
    _, spread = mean_and_variance(target, axis_name)
    _, unexplained = mean_and_variance(target - value, axis_name)
    rounding = jnp.finfo(target.dtype).eps * pmean(jnp.mean(jnp.square(target)), axis_name)
    return jnp.where(spread > rounding, 1 - unexplained / jnp.where(spread > 0, spread, 1), jnp.nan)
