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
    init_optimiser,
    standardise,
    value_at,
)
from ..losses import ppo_clip_loss
from ..returns import gae
from ..transforms import Moments
from ._actor_critic_loss import actor_critic_loss, movement, regression_loss
from ._checks import check_counts, check_fractions
from ._normalisation import normalised
from ._recurrent_ppo_model import RecurrentActorCritic, recurrent_actor_critic
from ._rollout_learner import AbstractRolloutLearner
from ._rollouts import (
    dealt_lanes,
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


class RecurrentPPO(AbstractRolloutLearner[RecurrentPPOState]):
    """Proximal policy optimisation whose policy and value remember, each with its own recurrent network.

    An example is the whole rollout of a lane, from the memory that the lane had when the rollout began: that memory is
    the one stored while acting, it is not computed again as the networks learn, and no gradient flows into it. Inside
    the rollout the memory is set back wherever an episode starts. The value of a true successor is the network's, one
    step further from the memory at that step, so it is right at the end of an episode too.

    Attributes:
        gae_lambda: λ of the advantage estimates.
        clip_epsilon: How far the probability ratio may move from 1, a number or a schedule over environment steps.
        value_clip: Whether the value may move only as far, by `value_clip_epsilon`.
        value_clip_epsilon: How far the value may move, in units of the return.
        entropy_coefficient: Weight of the entropy bonus.
        value_coefficient: Weight of the value loss.
        rollout_length: Steps of each lane between updates; gradients flow back in time at most as far.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass, each of whole lanes; divides the number of lanes on a device.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        cell: What remembers: gru or lstm.
        memory_size: Width of the memory.
        input_sizes: Widths of the layers between the observation and the memory.
        hidden_sizes: Widths of the hidden layers after the memory.
        network: Makes a `RecurrentActorCritic`, or what has its methods, out of the spaces and a key; None for the
            default.

    References:
        Schulman et al., *Proximal Policy Optimization Algorithms*, 2017, arXiv:1707.06347. Kapturowski et al.,
        *Recurrent Experience Replay in Distributed Reinforcement Learning*, 2019, on stored memory.
    """

    gae_lambda: RealScalarLike = 0.95
    clip_epsilon: Scheduled = 0.2
    value_clip: bool = eqx.field(static=True, default=False)
    value_clip_epsilon: RealScalarLike = 0.2
    entropy_coefficient: RealScalarLike = 0.01
    value_coefficient: RealScalarLike = 0.5
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    adam_epsilon: RealScalarLike = 1e-5
    cell: str = eqx.field(static=True, default="gru")
    memory_size: int = eqx.field(static=True, default=64)
    input_sizes: tuple[int, ...] = eqx.field(static=True, default=())
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(64,))
    network: Callable[..., RecurrentActorCritic] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_counts(self, "epochs", "minibatches", "memory_size")
        check_fractions(self, "gae_lambda")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> RecurrentPPOState:
        """Draws the networks and starts the optimiser."""
        model = self._model(spaces, key)
        return RecurrentPPOState(model, init_optimiser(model, self._optimiser), *self._init_moments(spaces))

    def init_memory(self, spaces):
        """The memories of the policy and of the value, zero at the start of an episode."""
        return eqx.filter_eval_shape(lambda key: self._model(spaces, key), jax.random.key(0)).initial()

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Samples from the policy, or takes its mode, and remembers."""
        del step
        pi, _, memory = state.model.step(normalised(state.moments, observation), memory)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        refuse_masks("RecurrentPPO", batch)
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        sequences = dataclasses.replace(self._evaluate(state.model, batch), observation=_lanes_first(learned))
        if axis_name is not None and sequences.starts.shape[0] % self.minibatches:
            # Too few lanes on a device to deal out: each device takes those of all, and none has to exchange more.
            sequences = jax.tree.map(lambda leaf: jax.lax.all_gather(leaf, axis_name, tiled=True), sequences)
            axis_name = None
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
        """Returns the lanes of each minibatch of all epochs."""
        if lanes % self.minibatches:
            raise ValueError(f"RecurrentPPO: minibatches must divide the lanes; got {self.minibatches} and {lanes}")
        dealt = dealt_lanes(lanes, self.minibatches, self.epochs, key, axis_name)
        return jnp.swapaxes(dealt, 1, 2).reshape(self.epochs * self.minibatches, -1)

    def _loss(self, epsilon: RealScalarLike, model: RecurrentActorCritic, part: Sequences):
        pi, value, _ = jax.vmap(model.unroll)(part.observation, part.memory, part.starts)
        log_ratio = pi.log_prob(part.action) - part.log_prob
        policy_loss = ppo_clip_loss(log_ratio, part.advantage, epsilon=epsilon)
        epsilon_of_value = self.value_clip_epsilon if self.value_clip else None
        critic_loss = regression_loss(value, part.target, part.value, epsilon_of_value)
        loss, metrics = actor_critic_loss(
            policy_loss, critic_loss, pi.entropy(), self.value_coefficient, self.entropy_coefficient
        )
        return loss, metrics | movement(log_ratio, epsilon)


def _lanes_first(tree: PyTree[Array]) -> Any:
    return jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), tree)
