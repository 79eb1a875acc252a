"""Deep Q-networks."""

import equinox as eqx
import jax.numpy as jnp
import optax

from .._core import RealScalarLike, guard
from ..losses import double_q_learning_error, munchausen_q_learning_error
from ._checks import check_fractions
from ._networks import legal
from ._value_learning import AbstractDQN, Example
from ._value_learning_networks import value_network


class DQN(AbstractDQN):
    r"""Deep Q-learning: the value of an action is regressed on what it led to.

    By default the online network selects the next action and the target network evaluates it.

    With `munchausen` the reward gains a part of the log-probability of the action taken, and the target is soft:

    $$R + \alpha\,[\tau \log \pi(A|S)]_{floor}^0 + \gamma \sum_{a'} \pi(a'|S')\,(Q(S', a') - \tau \log \pi(a'|S')),
      \qquad \pi = \mathrm{softmax}(Q_{target} / \tau)$$

    No next action is selected there, so `double` has no part in it. Behaviour stays ε-greedy.

    Attributes:
        huber_delta: Errors beyond this cost linearly, in units of the return.
        munchausen: Whether the target is that of Munchausen Q-learning; for single steps only.
        munchausen_temperature: τ of the softmax, in units of the reward; above 0.
        munchausen_scale: α, from 0 to 1; 0 for soft Q-learning.
        munchausen_floor: The least that is added to a reward, before α; not above 0.

    References:
        Mnih et al., *Human-level control through deep reinforcement learning*, 2015. Van Hasselt, Guez and Silver,
        *Deep Reinforcement Learning with Double Q-learning*, 2015, arXiv:1509.06461. Vieillard, Pietquin and Geist,
        *Munchausen Reinforcement Learning*, 2020, arXiv:2007.14430.
    """

    huber_delta: RealScalarLike = 1.0
    munchausen: bool = eqx.field(static=True, default=False)
    munchausen_temperature: RealScalarLike = 0.03
    munchausen_scale: RealScalarLike = 0.9
    munchausen_floor: RealScalarLike = -1.0

    def __check_init__(self):
        if self.munchausen and self.n_step > 1:
            raise ValueError(f"DQN: munchausen adds to the reward of one step, so n_step must be 1; got {self.n_step}")
        guard(self.munchausen_temperature, lambda x: x > 0, "DQN: munchausen_temperature must be above 0")
        check_fractions(self, "munchausen_scale")
        guard(self.munchausen_floor, lambda x: x <= 0, "DQN: munchausen_floor must not be above 0")

    def _default_network(self, spaces, key):
        return value_network(
            spaces, self.hidden_sizes, self.activation, dueling=self.dueling, noisy=self.noisy, key=key
        )

    def _values(self, network, observation):
        return network(observation)

    def _example(self, online, target, transition, discount, selector, key):
        del key
        q = legal(online(transition.observation), transition.observation)
        next_q = legal(target(transition.next_observation), transition.next_observation)
        action, reward = transition.action, transition.reward
        if self.munchausen:
            target_q = legal(target(transition.observation), transition.observation)
            error = munchausen_q_learning_error(
                q,
                action,
                reward,
                discount,
                next_q,
                target_q,
                tau=self.munchausen_temperature,
                alpha=self.munchausen_scale,
                log_policy_floor=self.munchausen_floor,
            )
        else:
            error = double_q_learning_error(q, action, reward, discount, next_q, selector)
        distance = jnp.abs(error)
        loss = optax.losses.huber_loss(error, delta=self.huber_delta)
        return Example(loss, distance, {"q": jnp.max(q), "absolute_error": distance})
