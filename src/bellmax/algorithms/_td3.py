"""Deterministic actor-critics: twin delayed, and deep deterministic policy gradients."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp

from .._core import RealScalarLike, Scheduled, value_at
from ..losses import ensemble_min, td_error
from ..policies import target_policy_smoothing
from ._checks import check_choice, check_fractions, check_not_negative
from ._exploration import NOISES, ActionBox, noise_memory, noisy
from ._off_policy_actor_critic import AbstractOffPolicyActorCritic
from ._off_policy_actor_critic_networks import ActorQ, Networks, predictions
from ._targets import copied


class AbstractDeterministicActorCritic(AbstractOffPolicyActorCritic):
    r"""An actor that takes one action for an observation, and explores by noise on it.

    Attributes:
        members: Number of critics; the target is the least of them, the actor climbs the first.
        policy_delay: Updates of the critics for each update of the actor and of the target networks.
        noise: What is added to actions: `gaussian`, drawn anew at each step, or `ornstein-uhlenbeck`, which has inertia
            and starts from zero with each episode.
        noise_stddev: Deviation of a step of the noise, in halves of the range, a number or a schedule over environment
            steps.
        noise_theta: θ of Ornstein-Uhlenbeck noise, the share that is forgotten in a step.
        smoothing_stddev: Deviation of the noise on the target actor's actions, in halves of the range; 0 for none.
        smoothing_clip: Largest such noise.
    """

    noise: str = eqx.field(static=True, default="gaussian")
    noise_stddev: Scheduled = 0.1
    noise_theta: RealScalarLike = 0.15
    smoothing_stddev: RealScalarLike = 0.2
    smoothing_clip: RealScalarLike = 0.5

    def __check_init__(self):
        check_choice(self, "noise", NOISES)
        check_fractions(self, "noise_theta")
        check_not_negative(self, "smoothing_stddev", "smoothing_clip")

    def init_memory(self, spaces):
        """The last value of noise that has inertia."""
        return noise_memory(self.noise, ActionBox.of(spaces.action).size)

    def _actions(self, spaces):
        return ActionBox.of(spaces.action)

    def _networks(self, spaces, *, key):
        actor_key, critic_key = jax.random.split(key)
        networks = Networks(spaces, self.hidden_sizes, self.activation)
        return ActorQ(networks.deterministic_actor(key=actor_key), networks.action_value(key=critic_key))

    def _completed(self, state):
        return dataclasses.replace(state, target_actor=copied(state.actor))

    def _explore(self, state, observation, memory, *, step, key):
        stddev = value_at(self.noise_stddev, step)
        return noisy(state.actor(observation), memory, self.noise, stddev, self.noise_theta, key=key)

    def _exploit(self, state, observation):
        return state.actor(observation)

    def _look_ahead(self, state, next_observation, keys):
        def smoothed(observation, key):
            return target_policy_smoothing(
                state.target_actor(observation), key=key, stddev=self.smoothing_stddev, clip=self.smoothing_clip
            )

        action = jax.vmap(smoothed)(next_observation, keys)
        return ensemble_min(predictions(state.target_critics, next_observation, action))

    def _critic_loss(self, state, q, reward, discount, ahead):
        del state
        errors = jax.vmap(td_error, (0, None, None, None))(q, reward, discount, ahead)
        return 0.5 * jnp.sum(jnp.square(errors), axis=0), jnp.abs(errors).mean(axis=0)

    def _actor_loss(self, state, actor, observation, keys):
        del keys
        first = jax.tree.map(lambda leaf: leaf[:1] if eqx.is_array(leaf) else leaf, state.critics)
        return -predictions(first, observation, jax.vmap(actor)(observation))[0], None


class TD3(AbstractDeterministicActorCritic):
    r"""Twin delayed deterministic policy gradients: two critics, a slower actor, a blurred target.

    The critics learn $R + \gamma \min_i \bar Q_i(S', \text{clip}(\bar\mu(S') + \varepsilon))$, with clipped noise
    $\varepsilon$; every `policy_delay` updates the actor climbs $Q_1(S, \mu(S))$ and all target networks move. Actions
    are seen in halves of their range.

    References:
        Fujimoto, van Hoof and Meger, *Addressing Function Approximation Error in Actor-Critic Methods*, 2018,
        arXiv:1802.09477.
    """

    policy_delay: int = eqx.field(static=True, default=2)
