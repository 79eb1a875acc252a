"""Truncated quantile critics."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._core import RealScalarLike, multiply_no_nan
from ..distributional import pool_quantiles, quantile_midpoints
from ..losses import quantile_huber_loss, soft_value
from ._off_policy_actor_critic_networks import ActorQ, Networks, predictions
from ._sac_soft import AbstractGaussianActorCritic


class TQC(AbstractGaussianActorCritic):
    r"""Soft actor-critic with critics that give quantiles, of whose pool the largest are dropped.

    The quantiles of all target critics are pooled, the `dropped` largest for each critic left out, and every critic
    learns what is left by quantile regression. The actor climbs the mean of all quantiles.

    Attributes:
        quantiles: Number of quantiles of a critic.
        dropped: How many of the pool are left out for each critic.
        huber_kappa: Where the quantile loss turns from squares to absolute values, in units of the return.

    References:
        Kuznetsov et al., *Controlling Overestimation Bias with Truncated Mixture of Continuous Distributional Quantile
        Critics*, 2020, arXiv:2005.04269.
    """

    quantiles: int = eqx.field(static=True, default=25)
    dropped: int = eqx.field(static=True, default=2)
    huber_kappa: RealScalarLike = 1.0

    def __check_init__(self):
        if not 0 <= self.dropped < self.quantiles:
            raise ValueError(f"TQC: dropped must be from 0 to quantiles - 1; got {self.dropped} of {self.quantiles}")

    def _networks(self, spaces, *, key):
        actor_key, critic_key = jax.random.split(key)
        networks = Networks(spaces, self.hidden_sizes, self.activation)
        critic = networks.action_quantiles(self.quantiles, key=critic_key)
        return ActorQ(self._actor(networks, key=actor_key), critic)

    def _look_ahead(self, state, next_observation, keys):
        action, log_prob = self._sampled(state.actor, next_observation, keys)
        pooled = pool_quantiles(predictions(state.target_critics, next_observation, action), self.dropped)
        return jax.vmap(soft_value, (1, None, None), 1)(pooled, log_prob, self._alpha(state))

    def _critic_loss(self, state, q, reward, discount, ahead):
        del state
        targets = reward[:, None] + multiply_no_nan(ahead, discount[:, None])
        fractions = quantile_midpoints(self.quantiles)

        def loss(quantiles):
            return quantile_huber_loss(quantiles, fractions, targets, kappa=self.huber_kappa)

        error = jnp.abs(q.mean(axis=-1) - targets.mean(axis=-1)[None])
        return jax.vmap(loss)(q).sum(axis=0), error.mean(axis=0)

    def _pooled(self, q):
        return q.mean(axis=(0, -1))
