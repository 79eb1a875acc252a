"""Learning from rollouts: what the on-policy algorithms share."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from .._core import (
    Batch,
    RealScalarLike,
    Transition,
    gradient_step,
    lane_keys,
    mean_and_variance,
    model_scan,
    pmean,
    random_order,
    value_and_grad_in_blocks,
)
from ..returns import gae
from ._networks import AbstractActorCritic
from ._normalisation import counted, normalised, normalised_transition, scaled_rewards

_State = TypeVar("_State")


class Sample(eqx.Module):
    """Examples for an actor-critic, one of each a step of a rollout.

    Attributes:
        observation: As the learner will see it.
        action: As sampled.
        log_prob: Of the action, by the policy that took it.
        value: Of the observation, before learning.
        advantage: Of the action.
        target: What the value should be.
        weight: What the example counts for, 1 on average; None for 1.
        behaviour: The distribution that the action was drawn from; None where it is not asked for.
    """

    observation: PyTree[Array]
    action: PyTree[Array]
    log_prob: Float[Array, "*batch"]
    value: Float[Array, "*batch"]
    advantage: Float[Array, "*batch"]
    target: Float[Array, "*batch"]
    weight: Float[Array, "*batch"] | None = None
    behaviour: Any = None


class Appraisal(eqx.Module):
    """What a model says of a rollout, with axes `time lanes`.

    Attributes:
        value: Of the observation.
        next_value: Of the true successor.
        log_prob: Of the action.
        pi: The distributions over actions, time and lanes as one; None where they are not asked for.
    """

    value: Float[Array, "time lanes"]
    next_value: Float[Array, "time lanes"]
    log_prob: Float[Array, "time lanes"]
    pi: Any = None


def refuse_masks(name: str, batch: Batch) -> None:
    """Refuses batches that are no whole rollouts."""
    if batch.weight is not None or batch.mask is not None:
        raise ValueError(f"{name} learns from whole rollouts of its own: a batch may have no weight and no mask")


def flattened(tree: PyTree[Array]) -> Any:
    """Makes one axis of time and lanes."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), tree)


def with_ends(
    transition: Transition, discount: RealScalarLike, lambda_: RealScalarLike
) -> tuple[Float[Array, "time lanes"], Float[Array, "time lanes"]]:
    """Returns γ, 0 where an episode terminated, and λ, 0 where one was truncated."""
    return jnp.where(transition.terminated, 0.0, discount), jnp.where(transition.truncated, 0.0, lambda_)


def normalised_rollout(
    state: Any, batch: Batch, discount: RealScalarLike, axis_name: str | None
) -> tuple[Any, Batch, PyTree[Array]]:
    """Counts a rollout, and shows it as it was acted on.

    Args:
        state: With `moments` of observations and `reward_moments`, each None for no normalisation.
        batch: The rollout.
        discount: γ.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        The state with the moments of this rollout too, which the next is acted by; the batch, with observations
        normalised by the moments of before, by which to judge what was done, and rewards by those of now; and the
        observations by the moments of now, by which to learn: what is learned is acted on by them.
    """
    moments = counted(state.moments, batch, axis_name)
    learned = normalised(moments, batch.transition.observation)
    batch = dataclasses.replace(batch, transition=normalised_transition(state.moments, batch.transition))
    reward_moments, batch = scaled_rewards(state.reward_moments, batch, discount, axis_name)
    return dataclasses.replace(state, moments=moments, reward_moments=reward_moments), batch, learned


def appraised(model: AbstractActorCritic, transition: Transition, *, keep_policy: bool = False) -> Appraisal:
    """Asks a model for values and log-probabilities of a rollout, in one batch."""
    flat, shape = flattened(transition), transition.reward.shape

    def one(observation, action):
        pi, value = model(observation)
        return value, pi.log_prob(action), pi if keep_policy else None

    value, log_prob, pi = jax.vmap(one)(flat.observation, flat.action)
    next_value = jax.vmap(model.critic)(flat.next_observation)
    return Appraisal(value.reshape(shape), next_value.reshape(shape), log_prob.reshape(shape), pi)


def evaluated(
    model: AbstractActorCritic,
    transition: Transition,
    discount: RealScalarLike,
    gae_lambda: RealScalarLike,
    *,
    keep_policy: bool = False,
) -> Sample:
    """Gives every step its value, its λ-advantage and the log-probability of its action, time and lanes as one."""
    found = appraised(model, transition, keep_policy=keep_policy)
    discounts, lambdas = with_ends(transition, discount, gae_lambda)
    advantage = gae(found.value, transition.reward, discounts, found.next_value, lambdas)
    return sampled(transition, found, advantage, advantage + found.value)


def sampled(
    transition: Transition,
    found: Appraisal,
    advantage: Float[Array, "time lanes"],
    target: Float[Array, "time lanes"],
    weight: Float[Array, "time lanes"] | None = None,
) -> Sample:
    """Joins what is known of each step, time and lanes as one."""
    observation, action = flattened((transition.observation, transition.action))
    log_prob, value, advantage, target, weight = flattened((found.log_prob, found.value, advantage, target, weight))
    return Sample(observation, action, log_prob, value, advantage, target, weight, found.pi)


def descended(
    state: Any,
    loss: Callable[[Any, Any], tuple[Float[Array, ""], dict[str, Array]]],
    examples: Any,
    optimiser: optax.GradientTransformation,
    rate: RealScalarLike,
    axis_name: str | None,
) -> tuple[Any, dict[str, Array]]:
    """Takes one gradient step of `state.model` and `state.optimiser`, on the mean loss of examples of all devices."""
    (_, metrics), gradient = value_and_grad_in_blocks(loss, axis_name)(state.model, examples)
    model, optimiser_state, more = gradient_step(state.model, gradient, optimiser, state.optimiser, rate)
    return dataclasses.replace(state, model=model, optimiser=optimiser_state), metrics | more


def over_minibatches(
    learn: Callable[[_State, Any], tuple[_State, dict[str, Array]]],
    state: _State,
    examples: Any,
    order: Int[Array, "minibatches size"],
) -> tuple[_State, dict[str, Array]]:
    """Learns from one minibatch after the other; metrics are means over those where they are finite."""

    def step(state, indices):
        return learn(state, jax.tree.map(lambda leaf: leaf[indices], examples))

    state, metrics = model_scan(step, state, order)
    return state, {name: jnp.mean(values, where=jnp.isfinite(values)) for name, values in metrics.items()}


def minibatch_order(
    length: int, lanes: int, epochs: int, minibatches: int, key: Key[Array, ""], axis_name: str | None
) -> Int[Array, "minibatches_of_all_epochs size"]:
    """Cuts a rollout into minibatches, anew in each epoch, the same however its lanes are spread over devices.

    Time is permuted inside each lane and cut into as many parts as divide both its length and the number of
    minibatches. Where that is not enough, lanes are divided too: of each run of neighbours as long as there are groups
    one goes to each, by lot.
    So every lane, or every lane of a group, gives a minibatch as many steps as any other.

    Args:
        length: Steps of each lane.
        lanes: Lanes on this device.
        epochs: Passes over the rollout.
        minibatches: Parts of each pass.
        key: Randomness of the order, the same on every device.
        axis_name: Name of the mapped device axis, or None.

    Returns:
        Indices into the flattened rollout of this device.

    Raises:
        ValueError: If minibatches must divide lanes and do not.
    """
    parts = math.gcd(length, minibatches)
    groups = minibatches // parts
    if lanes % groups:
        raise ValueError(
            f"{minibatches} minibatches of a rollout of {length} steps divide the lanes of a device by {groups}; "
            f"there are {lanes}"
        )
    key, group_key = (key, key) if groups == 1 else jax.random.split(key)
    permute = jax.vmap(jax.vmap(lambda key: random_order(key, length)))
    keys = jax.vmap(lambda key: lane_keys(key, lanes, axis_name))(jax.random.split(key, epochs))
    times = jnp.moveaxis(permute(keys), 1, 2)
    if groups == 1:
        return (times * lanes + jnp.arange(lanes)).reshape(epochs * minibatches, -1)
    which = dealt_lanes(lanes, groups, epochs, group_key, axis_name).reshape(epochs, 1, lanes)
    indices = jnp.take_along_axis(times, which, axis=2) * lanes + which
    indices = indices.reshape(epochs, parts, length // parts, lanes // groups, groups)
    return jnp.moveaxis(indices, -1, 2).reshape(epochs * minibatches, -1)


def dealt_lanes(
    lanes: int, groups: int, epochs: int, key: Key[Array, ""], axis_name: str | None
) -> Int[Array, "epochs hands groups"]:
    """Deals lanes out to groups, anew in each epoch: of each run of neighbours one goes to each group, by lot.

    So groups do not depend on how lanes are spread over devices, and have as many lanes of every device.
    """
    keys = jax.vmap(lambda key: lane_keys(key, lanes // groups, axis_name))(jax.random.split(key, epochs))
    order = jax.vmap(jax.vmap(lambda key: random_order(key, groups)))(keys)
    return order + groups * jnp.arange(lanes // groups)[:, None]


def explained_variance(
    value: Float[Array, "*batch"], target: Float[Array, "*batch"], axis_name: str | None
) -> Float[Array, ""]:
    """Returns how much of the target's variance the value explains: 1 for all, 0 for none, NaN if there is none."""
    _, spread = mean_and_variance(target, axis_name)
    _, unexplained = mean_and_variance(target - value, axis_name)
    rounding = jnp.finfo(target.dtype).eps * pmean(jnp.mean(jnp.square(target)), axis_name)
    return jnp.where(spread > rounding, 1 - unexplained / jnp.where(spread > 0, spread, 1), jnp.nan)
