"""Parallelised Q-networks."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from .._core import (
    Batch,
    Feedback,
    Masked,
    RealScalarLike,
    Scheduled,
    Spaces,
    functions_as_nodes,
    init_optimiser,
    take_action,
    value_at,
)
from ..losses import value_loss
from ..policies import epsilon_greedy
from ..returns import lambda_returns
from ..transforms import Moments
from ._checks import check_counts, check_fractions
from ._networks import legal, q_network
from ._normalisation import normalised
from ._rollout_learner import AbstractRolloutLearner
from ._rollouts import (
    descended,
    explained_variance,
    flattened,
    minibatch_order,
    normalised_rollout,
    over_minibatches,
    refuse_masks,
    with_ends,
)

QNetwork = Callable[[PyTree[Array]], Float[Array, " actions"]]


class PQNState(eqx.Module):
    """What PQN carries from update to update."""

    model: QNetwork
    optimiser: optax.OptState
    moments: Moments | None = None
    reward_moments: Moments | None = None


class PQN(AbstractRolloutLearner[PQNState]):
    r"""Q-learning from many lanes at once, without replay and without a target network.

    Targets are λ-returns of the best action's value, computed once a rollout by the network that acted:

    $$G_t = r_{t+1} + \gamma\,[(1-\lambda) \max_a Q(s_{t+1}, a) + \lambda G_{t+1}]$$

    Exploratory actions do not cut them, so they are those of a policy between the greedy and the ε-greedy one. Layer
    norm keeps the network from diverging.

    Attributes:
        learning_rate: Step size of rectified Adam, a number or a schedule over environment steps.
        trace_lambda: λ of the targets.
        epsilon: ε of the behaviour policy, a number or a schedule over environment steps.
        epochs: Passes over each rollout.
        minibatches: Parts of each pass. As far as they do not divide `rollout_length` they divide the lanes.
        adam_epsilon: ε of the optimiser, added to the root of its second moment.
        hidden_sizes: Widths of the default network.
        layer_norm: Whether the default network's hidden layers are normalised.
        convolution: Whether the default network sees images through a convolution, or else as vectors,
            which costs far less.
        network: Makes a module from an observation to action values, out of the spaces and a key; None for a
            perceptron. An action mask beside the observation is given to it too, and applied to what it returns.

    References:
        Gallici et al., *Simplifying Deep Temporal Difference Learning*, 2024, arXiv:2407.04811.
    """

    trace_lambda: RealScalarLike = 0.65
    epsilon: Scheduled = 0.1
    max_gradient_norm: RealScalarLike = 10.0
    epochs: int = eqx.field(static=True, default=4)
    minibatches: int = eqx.field(static=True, default=4)
    adam_epsilon: RealScalarLike = 1e-8
    hidden_sizes: tuple[int, ...] = eqx.field(static=True, default=(128, 128))
    activation: str = eqx.field(static=True, default="relu")
    layer_norm: bool = eqx.field(static=True, default=True)
    convolution: bool = eqx.field(static=True, default=True)
    network: Callable[..., QNetwork] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        check_counts(self, "epochs", "minibatches")
        check_fractions(self, "trace_lambda")

    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> PQNState:
        """Draws the network and starts the optimiser."""
        if self.network is None:
            settings = {"layer_norm": self.layer_norm, "convolution": self.convolution}
            model = q_network(spaces, self.hidden_sizes, self.activation, **settings, key=key)
        else:
            model = functions_as_nodes(self.network(spaces, key=key))
        return PQNState(model, init_optimiser(model, self._optimiser), *self._init_moments(spaces))

    def act(self, state, observation, memory, *, step, key, explore=True):
        """Takes the best action, or any with probability ε when exploring."""
        q, mask = state.model(normalised(state.moments, observation)), Masked.of(observation).action_mask
        epsilon = value_at(self.epsilon, step) if explore else 0.0
        pi = epsilon_greedy(q, mask=mask, eps=epsilon)
        return pi.sample(seed=key) if explore else pi.mode(), None, memory

    def update(self, state, batch: Batch, *, step, key, axis_name=None):
        """Learns from one rollout."""
        refuse_masks("PQN", batch)
        length, lanes = batch.transition.reward.shape
        state, batch, learned = normalised_rollout(state, batch, self.discount, axis_name)
        target = self._targets(state.model, batch)
        examples = (*flattened((learned, batch.transition.action)), target)
        rate = value_at(self.learning_rate, step)

        def learn(state, minibatch):
            return descended(state, _loss, minibatch, self._optimiser, rate, axis_name)

        order = minibatch_order(length, lanes, self.epochs, self.minibatches, key, axis_name)
        value = _predictions(state.model, *examples[:2])
        state, metrics = over_minibatches(learn, state, examples, order)
        metrics["explained_variance"] = explained_variance(value, target, axis_name)
        return state, metrics, Feedback(accumulators=batch.accumulators)

    @property
    def _optimiser(self) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.max_gradient_norm)
        return optax.chain(clip, optax.scale_by_radam(eps=self.adam_epsilon))  # pyright: ignore[reportArgumentType]

    def _targets(self, model: QNetwork, batch: Batch) -> Float[Array, " examples"]:
        """Returns the λ-return of every step, time and lanes as one."""
        transition = batch.transition
        following = flattened(transition.next_observation)
        best = jax.vmap(lambda observation: jnp.max(legal(model(observation), observation)))(following)
        discounts, lambdas = with_ends(transition, self.discount, self.trace_lambda)
        next_values = best.reshape(transition.reward.shape)
        return flattened(lambda_returns(transition.reward, discounts, next_values, lambdas))


def _predictions(model: QNetwork, observation: PyTree[Array], action: Array) -> Float[Array, " examples"]:
    return take_action(jax.vmap(model)(observation), action)


def _loss(model: QNetwork, examples):
    observation, action, target = examples
    q = jax.vmap(model)(observation)
    loss = value_loss(take_action(q, action), target).mean()
    return loss, {"loss": loss, "q": q.max(-1).mean()}
