"""Soft actor-critic."""

import jax
import jax.numpy as jnp

from ..losses import ensemble_min, sac_critic_error
from ._off_policy_actor_critic_networks import ActorQ, Networks, predictions
from ._sac_soft import AbstractGaussianActorCritic


class SAC(AbstractGaussianActorCritic):
    r"""Soft actor-critic: a random policy over a Box that is paid for its entropy.

    The critics learn $R + \gamma [\min_i \bar Q_i(S', A') - \alpha \log \pi(A'|S')]$, the actor climbs
    $\min_i Q_i(S, a) - \alpha \log \pi(a|S)$. Policies and critics see actions in halves of their range, so the
    entropy does not depend on the units of the actions. The last layer gives mean and deviation of the Gaussian.

    Attributes:
        members: Number of critics; the least of them counts.

    References:
        Haarnoja et al., *Soft Actor-Critic Algorithms and Applications*, 2018, arXiv:1812.05905. Raffin, Kober and
        Stulp, *Smooth Exploration for Robotic Reinforcement Learning*, 2020, arXiv:2005.05719.
    """

    def _networks(self, spaces, *, key):
        actor_key, critic_key = jax.random.split(key)
        networks = Networks(spaces, self.hidden_sizes, self.activation)
        return ActorQ(self._actor(networks, key=actor_key), networks.action_value(key=critic_key))

    def _look_ahead(self, state, next_observation, keys):
        action, log_prob = self._sampled(state.actor, next_observation, keys)
        return ensemble_min(predictions(state.target_critics, next_observation, action)), log_prob

    def _critic_loss(self, state, q, reward, discount, ahead):
        next_q, next_log_prob = ahead
        errors = jax.vmap(sac_critic_error, (0, None, None, None, None, None))(
            q, reward, discount, next_q, next_log_prob, self._alpha(state)
        )
        return 0.5 * jnp.sum(jnp.square(errors), axis=0), jnp.abs(errors).mean(axis=0)

    def _pooled(self, q):
        return ensemble_min(q)
