"""Temporal-difference learning of action values."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core import (
    Batch,
    Distribution,
    Feedback,
    Masked,
    RealScalarLike,
    Scheduled,
    Spaces,
    clipped_adam,
    example,
    functions_as_nodes,
    gradient_step,
    init_optimiser,
    lane_keys,
    masked_mean,
    value_and_grad,
    value_at,
)
from ..losses import (
    double_q_learning_error,
    expected_sarsa_error,
    q_learning_error,
    sarsa_error,
    soft_q_learning_error,
)
from ..networks import Encoder
from ..policies import boltzmann, epsilon_greedy
from ..transforms import Moments
from ._checks import check_choice, check_counts, check_fractions, check_not_negative
from ._contract import AbstractAlgorithm, OnPolicy
from ._heads import num_actions
from ._networks import legal, q_network
from ._normalisation import counted, normalised, normalised_transition, observation_moments
from ._targets import copied, moved

QNetwork = Callable[[PyTree[Array]], Float[Array, " actions"]]
_RULES = ("q_learning", "double_q_learning", "sarsa", "expected_sarsa", "soft_q_learning")
_POLICIES = ("epsilon_greedy", "boltzmann")
_OPTIMISERS = ("adam", "sgd")


class TDState(eqx.Module):
    """What a TD learner carries from update to update."""

    online: QNetwork
    target: QNetwork
    optimiser: optax.OptState
    moments: Moments | None = None


class Table(eqx.Module):
    """Action values that are linear in what an observation shows: of one-hot observations, a table.

    Attributes:
        torso: Maps an observation, without its action mask, to a vector.
        values: One row an action, zero at first.
    """

    torso: Callable[[PyTree[Array]], Float[Array, " features"]]
    values: Float[Array, "actions features"]

    def __call__(self, observation: PyTree[Array]) -> Float[Array, " actions"]:
        """Returns one value an action."""
        return self.values @ self.torso(Masked.of(observation).observation)


class TD(AbstractAlgorithm[TDState]):
    """Temporal-difference learning from the stream of experience, without replay: Q-learning, Sarsa and their kin.

    Each rollout of all lanes makes one gradient step on half the squared errors, and is forgotten. Observations that
    are one-hot or Discrete make a table of action values by default.

    Sarsa needs the next action of the policy that acts. Inside a rollout it is the one that was taken next. Where the
    rollout or a truncated episode ends there is none yet, or none ever: there the policy is asked again, with a key of
    its own. The target has the right mean, but its action is not the one that the lane then takes.

    Attributes:
        learning_rate: Step size, a number or a schedule over environment steps.
        discount: γ, what a reward is worth a step later.
        rule: What is learned: q_learning, double_q_learning, sarsa, expected_sarsa or soft_q_learning.
        policy: Who acts: epsilon_greedy or boltzmann.
        epsilon: ε of the one, a number or a schedule over environment steps.
        temperature: τ of the other and of soft Q-learning, in the units of the return, likewise.
        initial_value: Added to what the network says: optimism, if no return is as high.
        target_step: How far the target network moves towards the online one after each update. With 1 the two are the
            same, and double Q-learning is Q-learning.
        optimiser: adam, or sgd. A table under sgd changes by the learning rate times the error, divided by the number
            of steps in a rollout of all lanes.
        max_gradient_norm: Gradients longer than this are shortened to it.
        adam_epsilon: ε of Adam, added to the root of its second moment.
        rollout_length: Steps of each lane between updates.
        hidden_sizes: Widths of the default network; none for a table, or values that are linear in the observation.
        activation: Nonlinearity of the default network: tanh, relu, silu, elu, gelu or leaky_relu.
        network: Makes a module from an observation to action values, out of the spaces and a key; None for the default.
        normalise_observations: Whether the network sees floating-point numbers at mean 0 and variance 1, by the moments
            of all rollouts so far. No table stays one.

    References:
        Sutton and Barto, *Reinforcement Learning*, 2nd edition, chapter 6. Haarnoja et al., *Reinforcement Learning
        with Deep Energy-Based Policies*, 2017, arXiv:1702.08165.
    """

    learning_rate: Scheduled = 1e-2
    discount: RealScalarLike = 0.99
    rule: str = eqx.field(static=True, default="q_learning")
    policy: str = eqx.field(static=True, default="epsilon_greedy")
    epsilon: Scheduled = 0.1
    temperature: Scheduled = 0.02
    initial_value: RealScalarLike = 0.0
    target_step: RealScalarLike = 1.0
    optimiser: str = eqx.field(static=True, default="adam")
    max_gradient_norm: RealScalarLike = 10.0
    adam_epsilon: RealScalarLike = 1e-8
    rollout_length: int = eqx.field(static=True, default=1)
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=())
    activation: str = eqx.field(static=True, default="relu")
    network: Callable[..., QNetwork] | None = eqx.field(static=True, default=None)
    normalise_observations: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        for name, known in (("rule", _RULES), ("policy", _POLICIES), ("optimiser", _OPTIMISERS)):
            check_choice(self, name, known)
        check_counts(self, "rollout_length")
        check_fractions(self, "discount", "target_step")
        check_not_negative(self, "max_gradient_norm")

    @property
    def requirements(self) -> OnPolicy:
        """Fresh rollouts."""
        return OnPolicy(self.rollout_length)

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> TDState:
        """Makes the network, copies it to the target and starts the optimiser."""
        if self.network is not None:
            online = functions_as_nodes(self.network(spaces, key=key))
        else:
            online = q_network(spaces, self.hidden_sizes, self.activation, key=key)
            online = online if self.hidden_sizes else _table(spaces, key)
        moments = observation_moments(spaces) if self.normalise_observations else None
        return TDState(online, copied(online), init_optimiser(online, self._optimiser), moments)

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Explores as the policy says, or takes the best action."""
        q = self._values(state.online, normalised(state.moments, observation))
        if explore:
            return self._policy(q, Masked.of(observation).action_mask, step).sample(seed=key), None, memory
        return epsilon_greedy(q, 0.0, mask=Masked.of(observation).action_mask).mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        moments = counted(state.moments, batch, axis_name)
        batch = dataclasses.replace(batch, transition=normalised_transition(state.moments, batch.transition))
        (_, metrics), gradient = value_and_grad(self._loss, axis_name)(
            state.online, state.target, batch, step, key, axis_name
        )
        online, optimiser, step_metrics = gradient_step(
            state.online, gradient, self._optimiser, state.optimiser, value_at(self.learning_rate, step)
        )
        target = moved(state.target, online, self.target_step)
        return TDState(online, target, optimiser, moments), metrics | step_metrics, Feedback()

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        if self.optimiser == "sgd":
            return optax.clip_by_global_norm(self.max_gradient_norm)
        return clipped_adam(self.max_gradient_norm, self.adam_epsilon)

    def _values(self, network: QNetwork, observation: PyTree[Array]) -> Float[Array, " actions"]:
        """Returns the action values, −∞ for actions that the mask beside the observation forbids."""
        return legal(network(observation) + self.initial_value, observation)

    def _policy(self, q: Float[Array, "*batch actions"], mask: Array | None, step) -> Any:
        if self.policy == "boltzmann":
            return boltzmann(q, value_at(self.temperature, step), mask=mask)
        return epsilon_greedy(q, value_at(self.epsilon, step), mask=mask)

    def _loss(self, online: QNetwork, target: QNetwork, batch: Batch, step, key, axis_name: str | None):
        transition = batch.transition
        q, selector, next_q = (
            jax.vmap(jax.vmap(lambda observation, network=network: self._values(network, observation)))(seen)
            for network, seen in (
                (online, transition.observation),
                (jax.lax.stop_gradient(online), transition.next_observation),
                (target, transition.next_observation),
            )
        )
        now = (q, transition.action, transition.reward, jnp.where(transition.terminated, 0.0, self.discount))
        if self.rule == "q_learning":
            error = q_learning_error(*now, next_q)
        elif self.rule == "double_q_learning":
            error = double_q_learning_error(*now, next_q, selector)
        elif self.rule == "soft_q_learning":
            error = soft_q_learning_error(*now, next_q, tau=value_at(self.temperature, step))
        else:
            # Nothing may be legal in a terminal state; what is done there has no weight.
            over, mask = transition.terminated[..., None], Masked.of(transition.next_observation).action_mask
            mask = None if mask is None else jnp.where(over, 1, mask)
            pi = self._policy(jnp.where(over, 0, selector), mask, step)
            if self.rule == "expected_sarsa":
                error = expected_sarsa_error(*now, next_q, pi.probs)
            else:
                error = sarsa_error(*now, next_q, _next_actions(batch, pi, key, axis_name))
        if batch.mask is not None:  # a reward that is NaN must not reach a gradient, not even times zero
            error = jnp.where(batch.mask, error, 0)
        seen = {"loss": jnp.square(error) / 2, "q": jnp.max(q, axis=-1), "absolute_error": jnp.abs(error)}
        metrics = {
            name: values.mean() if batch.mask is None else masked_mean(values, batch.mask, axis_name)
            for name, values in seen.items()
        }
        return metrics["loss"], metrics


def _next_actions(
    batch: Batch, pi: Distribution, key: Key[Array, ""], axis_name: str | None
) -> Int[Array, "time lanes"]:
    """Returns the action that was taken next; where there is none, one that the policy draws."""
    transition = batch.transition
    time, lanes = transition.reward.shape
    keys = jax.vmap(lambda key: lane_keys(key, lanes, axis_name))(jax.random.split(key, time))
    drawn = jax.vmap(jax.vmap(lambda pi, key: pi.sample(seed=key)))(pi, keys)
    ended = transition.terminated | transition.truncated
    taken = jnp.concatenate([transition.action[1:], drawn[-1:]])
    return jnp.where(ended.at[-1].set(True), drawn, taken)


def _table(spaces: Spaces, key: Key[Array, ""]) -> Table:
    """Makes a table of zeros, one row an action, of what an encoder makes of an observation."""
    space = Masked.of(spaces.observation).observation
    torso = Encoder(space, 1, (), key=key).torso
    features = eqx.filter_eval_shape(torso, example(space)).size
    return Table(torso, jnp.zeros((num_actions(spaces.action), features)))
