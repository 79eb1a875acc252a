"""Replayed sequences as examples of n steps, against a loop."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import faults
from bellmax.algorithms import DQN, Batch, Transition, n_step_batch
from training import laws

LENGTH, EXAMPLES, DISCOUNT = 4, 64, 0.5


@functools.cache
def sequences():
    rng = np.random.default_rng(0)
    shape = (LENGTH, EXAMPLES)
    transition = Transition(
        {"x": rng.normal(size=(*shape, 2))},
        rng.integers(3, size=shape),
        rng.normal(size=shape),
        {"x": rng.normal(size=(*shape, 2))},
        rng.random(shape) < 0.2,
        rng.random(shape) < 0.2,
        {"e": rng.normal(size=shape)},
    )
    batch = Batch(transition, weight=rng.random(EXAMPLES), mask=rng.random(shape) < 0.9)
    return jax.tree.map(jnp.asarray, batch)


def law_sequences_are_joined_as_by_hand(join):
    """Adds up until the episode ends or the sequence does, one example after the other."""
    batch = sequences()
    found, discount = laws.host(join(batch, DISCOUNT, LENGTH))
    batch = laws.host(batch)
    one, many = found.transition, batch.transition
    for i in range(EXAMPLES):
        reward, factor, counts, last = 0.0, 1.0, True, 0
        for last in range(LENGTH):
            reward += factor * many.reward[last, i]
            factor *= 0.0 if many.terminated[last, i] else DISCOUNT
            counts &= batch.mask[last, i]
            if many.terminated[last, i] or many.truncated[last, i]:
                break
        np.testing.assert_allclose(one.reward[i], reward, rtol=1e-5)
        assert (discount[i], found.mask[i]) == (factor, counts)
        assert (one.terminated[i], one.truncated[i]) == (many.terminated[last, i], many.truncated[last, i])
        np.testing.assert_array_equal(one.next_observation["x"][i], many.next_observation["x"][last, i])
    for name in ("observation", "action", "extras"):
        laws.assert_equal(getattr(one, name), jax.tree.map(lambda leaf: leaf[0], getattr(many, name)))
    np.testing.assert_array_equal(found.weight, batch.weight)


def test_sequences_are_joined_as_by_hand():
    law_sequences_are_joined_as_by_hand(n_step_batch)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("jnp.where(transition.truncated, 0.0, 1.0)", "1.0"),
        ("transition.terminated, 0.0", "transition.terminated | transition.truncated, 0.0"),
        ("leaf[steps - 1, examples]", "leaf[-1, examples]"),
        ("terminated=terminated, truncated=truncated", ""),
        (">= steps[None]), axis=0)", ">= steps[None]), axis=0) & mask[-1]"),
        ("mask | (jnp.arange", "mask & mask[:1] | (jnp.arange"),
    ],
    ids=["over a cut", "cut as terminal", "last successor", "first ends", "mask after the end", "no fault"],
)
def test_planted_fault_is_found(old, new, request):
    join = faults.plant("bellmax.algorithms._n_step", "n_step_batch", old, new)
    if request.node.callspec.id == "no fault":  # the first step is always covered
        return law_sequences_are_joined_as_by_hand(join)
    with pytest.raises(AssertionError):
        law_sequences_are_joined_as_by_hand(join)


def test_single_steps_pass_unchanged():
    batch = jax.tree.map(lambda leaf: leaf[0], dataclasses.replace(sequences(), weight=None))
    found, discount = n_step_batch(batch, DISCOUNT, 1)
    laws.assert_equal(found, batch)
    np.testing.assert_array_equal(discount, np.where(batch.transition.terminated, 0, DISCOUNT))


def test_what_follows_an_end_may_be_nan():
    batch = sequences()
    ended = batch.transition.terminated | batch.transition.truncated
    after = jnp.cumsum(ended, axis=0) - ended > 0
    reward = jnp.where(after, jnp.nan, batch.transition.reward)
    poisoned = dataclasses.replace(batch, transition=dataclasses.replace(batch.transition, reward=reward))
    assert after.any()
    laws.assert_equal(n_step_batch(poisoned, DISCOUNT, LENGTH), n_step_batch(batch, DISCOUNT, LENGTH))


@pytest.mark.parametrize("n", [2, 5])
def test_sequences_of_another_length_are_refused(n):
    with pytest.raises(ValueError, match=f"sequences of {n} steps"):
        n_step_batch(sequences(), DISCOUNT, n)


@pytest.mark.slow
def test_dqn_learns_from_the_sum():
    # One lane of the table's states 0 → 1 → 2 → 2, rewards 1, 2, 3: 1 + 2/2 + 3/4 + max Q(2)/8 − Q(0, 0).
    dqn = DQN(discount=0.5, double=False, n_step=3)
    assert dqn.requirements.sequence_length == 3
    following = jax.nn.one_hot(jnp.array([[1], [2], [2]]), 3)
    no = jnp.zeros((3, 1), bool)
    transition = Transition(
        jax.nn.one_hot(jnp.array([[0], [1], [2]]), 3),
        jnp.zeros((3, 1), int),
        jnp.array([[1.0], [2.0], [3.0]]),
        following,
        no,
        no,
    )
    feedback = dqn.update(laws.dqn_state(dqn), Batch(transition), step=jnp.zeros(()), key=jax.random.key(0))[2]
    np.testing.assert_allclose(feedback.priority, [1 + 1 + 0.75 + 8 / 8 - 1], rtol=1e-6)
