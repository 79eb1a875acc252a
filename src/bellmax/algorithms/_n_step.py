"""Examples over several steps, made of replayed sequences."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import Batch, RealScalarLike
from ..returns import n_step_transitions


def n_step_batch(batch: Batch, discount: RealScalarLike, n: int) -> tuple[Batch, Float[Array, " batch"]]:
    r"""Joins each sequence of a batch into one transition, with what its bootstrap is worth.

    $$\sum_{i<k} \gamma^i R_{t+i+1}, \qquad S_{t+k}, \qquad \gamma^k$$

    Here k is n, or less: the sequence is left where an episode ends, by termination (then the discount is 0) or by
    truncation (then its true successor has a value).

    Args:
        batch: Of an algorithm that asks for `sequence_length=n`, leading axes `time batch`; with n = 1 of one that
            asks for single steps, leading axis `batch`. Its mask is of steps, its weight of examples.
        discount: γ of one step.
        n: How many steps to join at most.

    Returns:
        A batch with the leading axis `batch`, and the discount of each example. In its transition the observation,
        action and extras are those of the first step, the reward is the sum, and the successor and the two ends are
        those of the last step covered. An example counts if every step that it covers does.

    Raises:
        ValueError: If n > 1 and the sequences are not n steps long.
    """
    transition = batch.transition
    discounts = jnp.where(transition.terminated, 0.0, discount)
    if n == 1:
        return batch, discounts
    if transition.reward.ndim != 2 or transition.reward.shape[0] != n:
        raise ValueError(f"n_step_batch: sequences of {n} steps, axes time and batch; got {transition.reward.shape}")
    goes_on = jnp.where(transition.truncated, 0.0, 1.0)
    joined = n_step_transitions(transition.reward, discounts, n, goes_on)
    steps, examples = joined.steps[0], jnp.arange(transition.reward.shape[1])
    first = jax.tree.map(lambda leaf: leaf[0], transition)
    last = jax.tree.map(
        lambda leaf: leaf[steps - 1, examples],
        (transition.next_observation, transition.terminated, transition.truncated),
    )
    next_observation, terminated, truncated = last
    first = dataclasses.replace(
        first, reward=joined.reward[0], next_observation=next_observation, terminated=terminated, truncated=truncated
    )
    mask = batch.mask
    if mask is not None:
        mask = jnp.all(mask | (jnp.arange(n)[:, None] >= steps[None]), axis=0)
    return dataclasses.replace(batch, transition=first, mask=mask), joined.discount[0]
