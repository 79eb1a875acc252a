"""The toys' answers are known: by hand, and by solving them in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs
from training.laws import avals


def play(environment, actions, seed=0, state=None):
    """Plays actions one after the other and returns the first state and the steps, stacked."""
    first, _ = environment.reset(key=jax.random.key(seed))
    first = state if state is not None else first

    def step(state, action):
        return environment.step(state, action, key=jax.random.key(1))

    return first, jax.lax.scan(step, first, jnp.asarray(actions))[1]


@pytest.mark.parametrize(
    "environment", [envs.Bandit(), envs.Chain(), envs.Recall(), envs.Recall(cues=3, delay=0)], ids=repr
)
def test_toy_keeps_its_types_and_spaces(environment):
    state, observation = environment.reset(key=jax.random.key(0))
    space = environment.spaces.observation
    for _ in range(3):
        after, step = environment.step(state, jnp.zeros((), jnp.int32), key=jax.random.key(0))
        assert avals(after) == avals(state)
        assert avals(step.observation) == avals(observation)
        assert space.contains(np.asarray(step.observation))
        assert step.reward.shape == step.terminated.shape == step.truncated.shape == ()
        assert step.reward.dtype == jnp.float32
        assert step.terminated.dtype == step.truncated.dtype == bool
        state = after


def test_bandit_pays_what_the_arm_says_and_ends():
    _, steps = play(envs.Bandit((0.25, -1.0, 3.0)), [0, 1, 2, 1])
    np.testing.assert_array_equal(steps.reward, [0.25, -1, 3, -1])
    assert steps.terminated.all()
    assert not steps.truncated.any()


def test_chain_starts_everywhere_alike():
    chain = envs.Chain(length=4)
    states, observations = jax.vmap(lambda key: chain.reset(key=key))(jax.random.split(jax.random.key(0), 4000))
    counts = np.bincount(states.position)
    # Five standard deviations of a binomial count of 4000 draws with probability 1/4.
    np.testing.assert_allclose(counts, 1000, atol=5 * np.sqrt(4000 * 0.25 * 0.75))
    np.testing.assert_array_equal(observations, np.eye(4)[np.asarray(states.position)])


def test_chain_by_hand():
    chain = envs.Chain(length=3, time_limit=5, goal_reward=2.0, stay_reward=0.1)
    start = envs._toy.ChainState(jnp.array(1), jnp.array(0))
    _, steps = play(chain, [0, 1, 0, 1], state=start)
    np.testing.assert_allclose(steps.reward, [0.1, 0, 0.1, 2])
    np.testing.assert_array_equal(steps.observation[:3], np.eye(3)[[1, 2, 2]])
    np.testing.assert_array_equal(steps.terminated, [False, False, False, True])
    assert not steps.truncated.any()


@pytest.mark.parametrize(("actions", "terminated"), [([0, 0, 0], False), ([0, 0, 1], True)])
def test_chain_is_truncated_at_its_limit_and_both_ends_can_meet(actions, terminated):
    chain = envs.Chain(length=2, time_limit=3)
    _, steps = play(chain, actions, state=envs._toy.ChainState(jnp.array(1), jnp.array(0)))
    np.testing.assert_array_equal(steps.truncated, [False, False, True])
    np.testing.assert_array_equal(steps.terminated, [False, False, terminated])


def chain_model(chain):
    """Reads transitions and rewards off the environment: next position (−1 after the end) and reward, by action."""
    following, rewards = np.zeros((2, chain.length), int), np.zeros((2, chain.length))
    for action in range(2):
        for position in range(chain.length):
            state = envs._toy.ChainState(jnp.array(position), jnp.array(0))
            state, step = chain.step(state, jnp.array(action), key=jax.random.key(0))
            following[action, position] = -1 if step.terminated else int(state.position)
            rewards[action, position] = step.reward
    return following, rewards


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_chain_values_are_the_documented_ones(discount):
    chain = envs.Chain(length=4, goal_reward=2.0, stay_reward=0.3)
    following, rewards = chain_model(chain)
    for action, wanted in (
        (1, discount ** (3 - np.arange(4)) * 2.0),  # γ^(n−1−p) r_goal
        (0, np.full(4, 0.3 / (1 - discount))),  # r_stay / (1 − γ)
    ):
        # v = r + γPv, solved: a truncation has no part in it.
        transitions = np.array([[float(following[action, p] == q) for q in range(4)] for p in range(4)])
        values = np.linalg.solve(np.eye(4) - discount * transitions, rewards[action])
        np.testing.assert_allclose(values, wanted, rtol=1e-6)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_recall_shows_waits_and_asks(delay):
    recall = envs.Recall(cues=3, delay=delay)
    cues = set()
    for seed in range(8):
        first, observation = recall.reset(key=jax.random.key(seed))
        cue = int(first.cue)
        cues.add(cue)
        np.testing.assert_array_equal(observation, [*np.eye(3)[cue], 0])
        # The guesses before the question are wrong and cost nothing.
        _, steps = play(recall, [(cue + 1) % 3] * (delay + 1) + [cue], seed)
        np.testing.assert_array_equal(steps.observation[:delay], np.zeros((delay, 4)))
        np.testing.assert_array_equal(steps.observation[delay], [0, 0, 0, 1])
        np.testing.assert_array_equal(steps.reward, [0.0] * (delay + 1) + [1.0])
        np.testing.assert_array_equal(steps.terminated, [False] * (delay + 1) + [True])
        assert not steps.truncated.any()
        _, steps = play(recall, [(cue + 1) % 3] * (delay + 2), seed)
        assert float(steps.reward.sum()) == 0
    assert cues == {0, 1, 2}
