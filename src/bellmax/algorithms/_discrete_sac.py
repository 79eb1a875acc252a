"""Soft actor-critic for discrete actions."""

import jax
import jax.numpy as jnp

from .._core import Masked, RealScalarLike, take_action
from ..losses import (
    discrete_sac_actor_loss,
    discrete_soft_value,
    discrete_temperature_loss,
    ensemble_min,
    entropy_loss,
    td_error,
)
from ..policies import categorical
from ._exploration import Options
from ._networks import q_network
from ._off_policy_actor_critic_networks import ActorQ, predictions
from ._sac_soft import AbstractSoftActorCritic


class DiscreteSAC(AbstractSoftActorCritic):
    r"""Soft actor-critic over discrete actions, whose expectations are sums over all actions.

    The critics learn $R + \gamma \sum_a \pi(a|S') [\min_i \bar Q_i(S', a) - \alpha \log \pi(a|S')]$, the actor lowers
    $\sum_a \pi(a|S) [\alpha \log \pi(a|S) - \min_i Q_i(S, a)]$. An action mask beside the observation is applied to
    the actor.

    Attributes:
        target_entropy: What a learned temperature aims at, as a share of the entropy of the uniform policy over
            the actions that the mask allows.

    References:
        Christodoulou, *Soft Actor-Critic for Discrete Action Settings*, 2019, arXiv:1910.07207.
    """

    target_entropy: RealScalarLike = 0.98

    def _actions(self, spaces):
        return Options.of(spaces.action)

    def _networks(self, spaces, *, key):
        actor_key, critic_key = jax.random.split(key)
        actor = q_network(spaces, self.hidden_sizes, self.activation, key=actor_key)
        return ActorQ(actor, q_network(spaces, self.hidden_sizes, self.activation, key=critic_key))

    def _explore(self, state, observation, memory, *, step, key):
        del step
        return categorical(_logits(state.actor, observation)).sample(seed=key), memory

    def _exploit(self, state, observation):
        return categorical(_logits(state.actor, observation)).mode()

    def _look_ahead(self, state, next_observation, keys):
        del keys
        logits = jax.vmap(lambda observation: _logits(state.actor, observation))(next_observation)
        return discrete_soft_value(
            ensemble_min(predictions(state.target_critics, next_observation)), logits, self._alpha(state)
        )

    def _predictions(self, critics, observation, action):
        return jax.vmap(take_action, (0, None))(predictions(critics, observation), action)

    def _critic_loss(self, state, q, reward, discount, ahead):
        del state
        errors = jax.vmap(td_error, (0, None, None, None))(q, reward, discount, ahead)
        return 0.5 * jnp.sum(jnp.square(errors), axis=0), jnp.abs(errors).mean(axis=0)

    def _actor_loss(self, state, actor, observation, keys):
        del keys
        logits = jax.vmap(lambda observation: _logits(actor, observation))(observation)
        q = ensemble_min(predictions(state.critics, observation))
        return discrete_sac_actor_loss(logits, q, self._alpha(state)), logits

    def _entropy(self, noted):
        return -entropy_loss(noted)

    def _temperature_loss(self, state, log_alpha, noted):
        del state
        legal = jnp.sum(~jnp.isneginf(noted), axis=-1)
        return discrete_temperature_loss(log_alpha, noted, self.target_entropy * jnp.log(legal.astype(noted.dtype)))


def _logits(actor, observation):
    """Returns the logits of the actions, −∞ where the mask beside the observation forbids one."""
    logits, mask = actor(observation), Masked.of(observation).action_mask
    return logits if mask is None else jnp.where(mask != 0, logits, -jnp.inf)
