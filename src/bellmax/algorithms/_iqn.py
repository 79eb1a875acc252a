"""Implicit quantile networks."""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._core import RealScalarLike
from ..distributional import quantile_mean, quantile_midpoints
from ..losses import quantile_q_learning_loss
from ._checks import check_counts, check_not_negative
from ._networks import legal
from ._value_learning import AbstractDQN, Example
from ._value_learning_networks import implicit_network


class IQN(AbstractDQN):
    """Implicit quantile networks: quantiles of the return at any fraction, learned at fractions drawn for each example.

    Actions are compared by their mean quantile at `policy_fractions` even fractions: the paper draws these too, here
    the policy is a function of the observation. Priorities are the loss.

    The paper's target network selects the next action: so it is with `double` off, the default here. A `network` of
    one's own maps an observation and fractions to the quantiles of each action.

    Attributes:
        double: Whether the online network selects the next action; else the target network does both.
        fractions: Fractions an example at which the prediction is learned.
        target_fractions: Fractions an example at which the target is sampled.
        policy_fractions: Fractions whose mean quantile is the value of an action.
        cosines: Features of a fraction before its affine map.
        kappa: κ, where the loss turns from quadratic to linear, in units of the return; 0 for quantile regression.

    References:
        Dabney et al., *Implicit Quantile Networks for Distributional Reinforcement Learning*, 2018, arXiv:1806.06923.
    """

    double: bool = eqx.field(static=True, default=False)
    fractions: int = eqx.field(static=True, default=64)
    target_fractions: int = eqx.field(static=True, default=64)
    policy_fractions: int = eqx.field(static=True, default=32)
    cosines: int = eqx.field(static=True, default=64)
    kappa: RealScalarLike = 1.0

    def __check_init__(self):
        check_counts(self, "fractions", "target_fractions", "policy_fractions", "cosines")
        check_not_negative(self, "kappa")

    def _default_network(self, spaces, key):
        return implicit_network(
            spaces,
            self.hidden_sizes,
            self.activation,
            cosines=self.cosines,
            dueling=self.dueling,
            noisy=self.noisy,
            key=key,
        )

    def _values(self, network, observation):
        return quantile_mean(network(observation, quantile_midpoints(self.policy_fractions)))

    def _example(self, online, target, transition, discount, selector, key):
        key, target_key = jax.random.split(key)
        fractions = jax.random.uniform(key, (self.fractions,))
        quantiles = online(transition.observation, fractions)
        loss = quantile_q_learning_loss(
            quantiles,
            fractions,
            transition.action,
            transition.reward,
            discount,
            target(transition.next_observation, jax.random.uniform(target_key, (self.target_fractions,))),
            selector,
            kappa=self.kappa,
        )
        q = legal(quantile_mean(quantiles), transition.observation)
        return Example(loss, loss, {"q": jnp.max(q)})
