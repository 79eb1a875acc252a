"""Proximal policy optimisation with memory."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from .._core import (
    Batch,
    Feedback,
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    functions_as_nodes,
    guard,
    init_optimiser,
    lane_keys,
    random_order,
    standardise,
    value_at,
)
from ..losses import clipped_value_loss, ppo_clip_loss, value_loss
from ..returns import gae
from ..transforms import Moments, init_moments
from ._contract import AbstractAlgorithm, OnPolicy
from ._normalisation import normalised, observation_moments
from ._recurrent_ppo_model import RecurrentActorCritic, recurrent_actor_critic
from ._rollouts import (
    actor_critic_loss,
    descended,
    explained_variance,
    normalised_rollout,
    over_minibatches,
    refuse_masks,
    with_ends,
)


class RecurrentPPOState(eqx.Module):
    """What recurrent PPO carries from update to update."""

    model: RecurrentActorCritic
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None


class Sequences(eqx.Module):
    """What is learned from: leading axes `lanes time`, but one memory a lane."""

    memory: PyTree[Array]
    starts: Bool[Array, "lanes time"]
    observation: PyTree[Array]
    action: PyTree[Array]
    log_prob: Float[Array, "lanes time"]
    value: Float[Array, "lanes time"]
    advantage: Float[Array, "lanes time"]
    target: Float[Array, "lanes time"]


class RecurrentPPO(AbstractAlgorithm[RecurrentPPOState]):
    """Proximal policy optimisation whose policy and value remember, each with its own recurrent network.

    An example is the whole rollout of a lane, from the memory that the lane had when the rollout began: that memory is
    the one stored while acting, it is not computed again as the networks learn, and no gradient flows into it. Inside
    the rollout the memory is set back wherever an episode starts. The value of a true successor is the network's, one
    step further from the memory at that step, so it is right at the end of an episode too.

    Attributes:
        learning_rate: Step size of Adam, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        gae_lambda: λ of the advantage estimates.
        clip_epsilon: How far the probability ratio may move from 1, a number or a schedule over environment steps.
        value_clip: Whether the value may move only as far, by `value_clip_epsilon`.
        value_clip_epsilon: How far the value may move, in units of the return.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        max_gradient_norm: Gradients longer than this are shortened to it.
        rollout_length: Steps of each lane between updates; gradients flow back in time at most as far.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass, each of whole lanes; divides the number of lanes on a device.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        cell: What remembers: gru or lstm.
        memory_size: Width of the memory.
        input_sizes: Widths of the layers between the observation and the memory.
        hidden_sizes: Widths of the hidden layers after the memory.
        activation: Nonlinearity of those layers: tanh, relu, silu, elu, gelu or leaky_relu.
        network: Makes a `RecurrentActorCritic`, or what has its methods, out of the spaces and a key; None for the
            default.
        normalise_observations: Whether the networks see floating-point numbers at mean 0 and variance 1. They act by
            the moments of all rollouts before the present one, and learn by those with it: the next they act by.
        normalise_rewards: Whether rewards are divided by the deviation of their running discounted return, over all
            rollouts, and clipped at 10. Values and their losses are then in that unit.

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347. Kapturowski et al.,
        *Recurrent Experience Replay in Distributed Reinforcement Learning*, 2019, on stored memory.
    """

    learning_rate: Scheduled = 2.5e-4
    discount: RealScalarLike = 0.99
    gae_lambda: RealScalarLike = 0.95
    clip_epsilon: Scheduled = 0.2
    value_clip: bool = eqx.field(static=True, default=False)
    value_clip_epsilon: RealScalarLike = 0.2
    entropy_coefficient: RealScalarLike = 0.01
    value_coefficient: RealScalarLike = 0.5
    max_gradient_norm: RealScalarLike = 0.5
    rollout_length: int = eqx.field(static=True, default=128)
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    adam_epsilon: RealScalarLike = 1e-5
    cell: str = eqx.field(static=True, default="gru")
    memory_size: int = eqx.field(static=True, default=64)
    input_sizes: tuple[int, ...] = eqx.field(static=True, default=())
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64,))
    activation: str = eqx.field(static=True, default="tanh")
    network: Callable[..., RecurrentActorCritic] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)
    normalise_rewards: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        for name in ("rollout_length", "epochs", "minibatches", "memory_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"RecurrentPPO: {name} must be at least 1; got {getattr(self, name)}")
        for name in ("discount", "gae_lambda"):
            guard(getattr(self, name), lambda x: (x >= 0) & (x <= 1), f"RecurrentPPO: {name} must be in [0, 1]")

    @property
    def requirements(self) -> OnPolicy:
        """Fresh rollouts."""
        return OnPolicy(self.rollout_length)

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> RecurrentPPOState:
        """Draws the networks and starts the optimiser."""
        model = self._model(spaces, key)
        moments = observation_moments(spaces) if self.normalise_observations else None
        reward_moments = init_moments(jnp.zeros(())) if self.normalise_rewards else None
        return RecurrentPPOState(model, init_optimiser(model, self._optimiser), moments, reward_moments)

    def init_memory(self, spaces):
        """The memories of the policy and of the value, zero at the start of an episode."""
        return eqx.filter_eval_shape(lambda key: self._model(spaces, key), jax.random.key(0)).initial()

    def init_accumulators(self, spaces):
        """The running return of a lane, where rewards are normalised."""
        del spaces
        return jnp.zeros(()) if self.normalise_rewards else None

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Samples from the policy, or takes its mode, and remembers."""
        del step
        pi, _, memory = state.model.step(normalised(state.moments, observation), memory)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        refuse_masks("RecurrentPPO", batch)
        seen = batch.transition.observation
        state, batch = normalised_rollout(state, batch, self.discount, axis_name)
        # What was done and what it was worth stand by the moments of then; what is learned is acted on by the new.
        sequences = self._evaluate(state.model, batch)
        sequences = dataclasses.replace(sequences, observation=_lanes_first(normalised(state.moments, seen)))
        rate, epsilon = value_at(self.learning_rate, step), value_at(self.clip_epsilon, step)
        loss = functools.partial(self._loss, epsilon)

        def learn(state, part):
            part = dataclasses.replace(part, advantage=standardise(part.advantage, axis_name))
            return descended(state, loss, part, self._optimiser, rate, axis_name)

        groups = self._groups(sequences.starts.shape[0], key, axis_name)
        state, metrics = over_minibatches(learn, state, sequences, groups)
        metrics["explained_variance"] = explained_variance(sequences.value, sequences.target, axis_name)
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _model(self, spaces: Spaces, key: Key[Array, ""]) -> Any:
        if self.network is not None:
            return functions_as_nodes(self.network(spaces, key=key))
        names = ("cell", "input_sizes", "memory_size", "hidden_sizes", "activation")
        return recurrent_actor_critic(spaces, **{name: getattr(self, name) for name in names}, key=key)

    def _evaluate(self, model: RecurrentActorCritic, batch: Batch) -> Sequences:
        """Gives every step its value, its advantage and the log-probability of its action."""
        seen = _lanes_first(batch.transition)
        ended = seen.terminated | seen.truncated
        # The memory before the rollout is fresh already where an episode starts with it.
        starts = jnp.concatenate([jnp.zeros_like(ended[:, :1]), ended[:, :-1]], axis=1)
        pi, value, memory = jax.vmap(model.unroll)(seen.observation, batch.memory, starts)
        _, next_value, _ = jax.vmap(jax.vmap(model.step))(seen.next_observation, memory)
        discounts, lambdas = with_ends(batch.transition, self.discount, self.gae_lambda)
        advantage = gae(value.T, batch.transition.reward, discounts, next_value.T, lambdas).T
        log_prob = pi.log_prob(seen.action)
        return Sequences(
            batch.memory, starts, seen.observation, seen.action, log_prob, value, advantage, advantage + value
        )

    def _groups(self, lanes: int, key: Key[Array, ""], axis_name: str | None) -> Int[Array, "minibatches size"]:
        """Puts whole lanes together, anew each epoch.

        Of as many neighbouring lanes as there are minibatches each goes to another one, at random: so the groups do not
        depend on how lanes are spread over devices, and every device has as many lanes of each.
        """
        if lanes % self.minibatches:
            raise ValueError(
                f"RecurrentPPO: minibatches must divide the lanes of a device; got {self.minibatches} and {lanes}"
            )
        blocks = lanes // self.minibatches
        keys = jax.vmap(lambda key: lane_keys(key, blocks, axis_name))(jax.random.split(key, self.epochs))
        order = jax.vmap(jax.vmap(lambda key: random_order(key, self.minibatches)))(keys)
        groups = order + self.minibatches * jnp.arange(blocks)[:, None]
        return jnp.swapaxes(groups, 1, 2).reshape(self.epochs * self.minibatches, blocks)

    def _loss(self, epsilon: RealScalarLike, model: RecurrentActorCritic, part: Sequences):
        pi, value, _ = jax.vmap(model.unroll)(part.observation, part.memory, part.starts)
        log_ratio = pi.log_prob(part.action) - part.log_prob
        policy_loss = ppo_clip_loss(log_ratio, part.advantage, epsilon=epsilon)
        if self.value_clip:
            critic_loss = clipped_value_loss(value, part.target, part.value, epsilon=self.value_clip_epsilon)
        else:
            critic_loss = value_loss(value, part.target)
        loss, metrics = actor_critic_loss(
            policy_loss, critic_loss, pi.entropy(), self.value_coefficient, self.entropy_coefficient
        )
        metrics["approximate_kl"] = jnp.mean(jnp.expm1(log_ratio) - log_ratio)
        metrics["clip_fraction"] = jnp.mean(jnp.abs(jnp.expm1(log_ratio)) > epsilon)
        return loss, metrics


def _lanes_first(tree: PyTree[Array]) -> Any:
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tree)
