"""Quantile regression deep Q-networks."""

import equinox as eqx
import jax.numpy as jnp

from .._core import RealScalarLike
from ..distributional import quantile_mean, quantile_midpoints
from ..losses import quantile_q_learning_loss
from ._checks import check_counts, check_not_negative
from ._networks import legal
from ._value_learning import AbstractDQN, Example
from ._value_learning_networks import value_network


class QRDQN(AbstractDQN):
    """Quantile regression: the distribution of the return as quantiles at fixed fractions.

    The target is the next action's quantiles, moved by reward and discount; there are no ends to set, as C51 has.
    Actions are compared by the mean of their quantiles. Priorities are the loss.

    The paper's target network selects the next action: so it is with `double` off, the default here. The loss is that
    of the paper over κ, so that κ may be 0.

    Attributes:
        double: Whether the online network selects the next action; else the target network does both.
        quantiles: Number of quantiles.
        kappa: κ, where the loss turns from quadratic to linear, in units of the return; 0 for quantile regression.

    References:
        Dabney et al., *Distributional Reinforcement Learning with Quantile Regression*, 2017, arXiv:1710.10044.
    """

    double: bool = eqx.field(static=True, default=False)
    quantiles: int = eqx.field(static=True, default=200)
    kappa: RealScalarLike = 1.0

    def __check_init__(self):
        check_counts(self, "quantiles")
        check_not_negative(self, "kappa")

    def _default_network(self, spaces, key):
        return value_network(
            spaces,
            self.hidden_sizes,
            self.activation,
            atoms=self.quantiles,
            dueling=self.dueling,
            noisy=self.noisy,
            key=key,
        )

    def _values(self, network, observation):
        return quantile_mean(network(observation))

    def _example(self, online, target, transition, discount, selector, key):
        del key
        quantiles = online(transition.observation)
        loss = quantile_q_learning_loss(
            quantiles,
            quantile_midpoints(quantiles.shape[-1]),
            transition.action,
            transition.reward,
            discount,
            target(transition.next_observation),
            selector,
            kappa=self.kappa,
        )
        q = legal(quantile_mean(quantiles), transition.observation)
        return Example(loss, loss, {"q": jnp.max(q)})
