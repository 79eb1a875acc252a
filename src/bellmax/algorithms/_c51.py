"""Categorical deep Q-networks."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, at_least_float32
from ..distributional import categorical_mean, linear_support
from ..losses import categorical_double_q_learning_loss
from ._networks import legal
from ._value_learning import AbstractDQN, Example
from ._value_learning_networks import value_network


class AbstractC51(AbstractDQN):
    """Q-learning of the distribution of the return, as probabilities of fixed atoms.

    Attributes:
        atoms: Number of atoms, evenly spaced.
        lowest_value: The first atom, in units of the return.
        highest_value: The last atom; a return outside counts as the nearer end.
    """

    atoms: int = eqx.field(static=True, default=51)
    lowest_value: RealScalarLike = -10.0
    highest_value: RealScalarLike = 10.0

    def __check_init__(self):
        _ = self._support  # says what does not fit

    @property
    def _support(self) -> Float[Array, " atoms"]:
        return linear_support(self.lowest_value, self.highest_value, self.atoms)

    def _default_network(self, spaces, key):
        return value_network(
            spaces,
            self.hidden_sizes,
            self.activation,
            atoms=self.atoms,
            dueling=self.dueling,
            noisy=self.noisy,
            key=key,
        )

    def _values(self, network, observation):
        return categorical_mean(jax.nn.softmax(at_least_float32(network(observation))), self._support)

    def _example(self, online, target, transition, discount, selector, key):
        del key
        logits = online(transition.observation)
        loss = categorical_double_q_learning_loss(
            logits,
            self._support,
            transition.action,
            transition.reward,
            discount,
            target(transition.next_observation),
            selector,
        )
        q = categorical_mean(jax.nn.softmax(at_least_float32(logits)), self._support)
        return Example(loss, loss, {"q": jnp.max(legal(q, transition.observation))})


class C51(AbstractC51):
    """Categorical Q-learning: a distribution over fixed atoms instead of its mean.

    The target is the next action's distribution, moved by reward and discount and projected back onto the atoms; the
    loss is its cross-entropy. Actions are compared by their means. Set the ends of the atoms to what returns can be.

    The paper's target network selects the next action: so it is with `double` off, the default here. Priorities are the
    cross-entropy.

    Attributes:
        double: Whether the online network selects the next action; else the target network does both.

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887.
    """

    double: bool = eqx.field(static=True, default=False)
