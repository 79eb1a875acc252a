"""A long random rollout, and what each step of it shows."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..._core import Masked
from .._protocol import AbstractEnvironment
from ._spaces import excess, sample

LANES = 16
_MARGIN = 0.1
"""What lies this share of the range beyond all first values seen may still be one."""


class Lane(NamedTuple):
    """One environment of the rollout, and its first end."""

    state: Any
    observation: PyTree[Array]
    first_observation: PyTree[Array]
    time: Int[Array, ""]
    ended: Bool[Array, ""]
    end_key: Key[Array, ""]
    final_observation: PyTree[Array]


class Seen(NamedTuple):
    """What one step showed; after the rollout with leading axes `steps lanes`.

    Attributes:
        terminated: Flag of the step.
        truncated: Flag of the step.
        length: Steps of the episode so far.
        finite: Whether reward and observation are finite, and nothing in the state is NaN.
        excess: How far the observation lies outside its space.
        like_first: Whether the observation lies where first observations lie.
        as_first: Whether the observation equals the first one of its own episode.
        state_like_first: Whether the state lies where first states lie.
    """

    terminated: Bool[Array, "..."]
    truncated: Bool[Array, "..."]
    length: Int[Array, "..."]
    finite: Bool[Array, "..."]
    excess: Float[Array, "..."]
    like_first: Bool[Array, "..."]
    as_first: Bool[Array, "..."]
    state_like_first: Bool[Array, "..."]


def roll_out(environment: AbstractEnvironment, starts: Any, *, steps: int, key: Key[Array, ""]) -> tuple[Lane, Seen]:
    """Acts at random in `LANES` environments, a new episode wherever one ends.

    Args:
        environment: The environment.
        starts: First states and observations of many keys; the lanes begin with some of them.
        steps: Steps of each lane.
        key: Randomness of the rollout.

    Returns:
        The lanes at the end, and what each step showed.
    """
    ranges = jax.tree.map(_range, starts)
    spaces = environment.spaces

    def step_lane(lane: Lane, key):
        action_key, legal_key, step_key = jax.random.split(key, 3)
        action = _legal(sample(spaces.action, action_key), lane.observation, legal_key)
        state, step = environment.step(lane.state, action, key=step_key)
        ended, time = step.terminated | step.truncated, lane.time + 1
        first_end = ended & ~lane.ended
        seen = Seen(
            step.terminated,
            step.truncated,
            time,
            _finite((step.reward, step.observation)) & _no_nan(state),
            excess(spaces.observation, step.observation),
            _inside(step.observation, ranges[1]),
            equal(step.observation, lane.first_observation),
            _inside(state, ranges[0]),
        )
        end_key = jnp.where(first_end, step_key, lane.end_key)
        final = _pick(first_end, step.observation, lane.final_observation)
        return Lane(state, step.observation, lane.first_observation, time, lane.ended | ended, end_key, final), seen

    def step_all(lanes: Lane, key):
        step_key, reset_key = jax.random.split(key)
        lanes, seen = jax.vmap(step_lane)(lanes, jax.random.split(step_key, LANES))
        ended = seen.terminated | seen.truncated

        def restart(lanes):
            state, observation = jax.vmap(lambda key: environment.reset(key=key))(jax.random.split(reset_key, LANES))
            zero = jnp.zeros_like(lanes.time)
            fresh = lanes._replace(state=state, observation=observation, first_observation=observation, time=zero)
            return jax.tree.map(jax.vmap(jnp.where, (0, 0, 0)), _spread(ended, lanes), fresh, lanes)

        return jax.lax.cond(jnp.any(ended), restart, lambda lanes: lanes, lanes), seen

    @jax.jit
    def roll(starts, key):
        states, observations = jax.tree.map(lambda leaf: leaf[:LANES], starts)
        nothing = jnp.zeros(LANES, jnp.int32)
        end_key, steps_key = jax.random.split(key)
        end_keys = jax.random.split(end_key, LANES)
        lanes = Lane(states, observations, observations, nothing, nothing.astype(bool), end_keys, observations)
        return jax.lax.scan(step_all, lanes, jax.random.split(steps_key, steps))

    return roll(starts, key)


def _range(values: Array) -> tuple[Array, Array] | None:
    """Returns the range of first values, a little widened; None for keys."""
    if jnp.issubdtype(values.dtype, jax.dtypes.prng_key):
        return None
    numbers = np.asarray(values, np.float64)
    low, high = numbers.min(axis=0), numbers.max(axis=0)
    margin = _MARGIN * (high - low)
    return (low - margin).astype(np.float32), (high + margin).astype(np.float32)


def _inside(tree: PyTree[Array], ranges: PyTree[Any]) -> Bool[Array, ""]:
    def one(leaf, bounds):
        return jnp.array(True) if bounds is None else jnp.all((leaf >= bounds[0]) & (leaf <= bounds[1]))

    leaves, structure = jax.tree.flatten(tree)
    results = [one(leaf, bounds) for leaf, bounds in zip(leaves, structure.flatten_up_to(ranges), strict=True)]
    return jnp.all(jnp.stack(results)) if results else jnp.array(True)


def equal(one: PyTree[Array], other: PyTree[Array]) -> Bool[Array, ""]:
    """Tells whether two observations are equal, but for rounding: other programs round otherwise."""
    pairs = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    return jnp.all(jnp.stack([jnp.all(jnp.isclose(a, b, rtol=1e-5, atol=1e-6)) for a, b in pairs]))


def _finite(tree: PyTree[Array]) -> Bool[Array, ""]:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]))


def _no_nan(tree: PyTree[Array]) -> Bool[Array, ""]:
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.all(jnp.stack([~jnp.any(jnp.isnan(leaf)) for leaf in floats])) if floats else jnp.array(True)


def _pick(condition: Bool[Array, ""], one: PyTree[Array], other: PyTree[Array]) -> PyTree[Array]:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)


def _spread(flags: Bool[Array, " lanes"], tree: PyTree[Array]) -> PyTree[Array]:
    return jax.tree.map(lambda _: flags, tree)


def _legal(action: PyTree[Array], observation: PyTree[Array], key: Key[Array, ""]) -> PyTree[Array]:
    """Draws among the legal actions where the observation brings a mask of them, one number an action."""
    mask = Masked.of(observation).action_mask
    if getattr(mask, "ndim", 0) != 1 or getattr(action, "shape", None) != ():
        return action
    return jax.random.categorical(key, jnp.where(jnp.asarray(mask, bool), 0.0, -jnp.inf)).astype(action.dtype)
