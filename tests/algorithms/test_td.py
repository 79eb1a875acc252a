"""Temporal differences: each rule's target by hand, and whose action Sarsa looks at."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

import faults
from bellmax import envs, training
from bellmax._core import Spaces
from bellmax.algorithms import TD, Batch, Transition
from bellmax.algorithms._td import _next_actions
from training import laws

STATES, ACTIONS, GAMMA = 5, 3, 0.9
SPACES = Spaces(kinds.Discrete(STATES), kinds.Discrete(ACTIONS))
RULES = ["q_learning", "double_q_learning", "sarsa", "expected_sarsa", "soft_q_learning"]
EPSILON, TAU = 0.4, 0.5


def rollout(time=6, lanes=4, seed=0):
    """Makes transitions between random states, with ends of every kind."""
    draw = np.random.default_rng(seed)
    terminated, truncated = np.zeros((2, time, lanes), bool)
    if time > 3:
        terminated[1, 0] = terminated[3, 2] = truncated[2, 1] = truncated[3, 2] = True
    return jax.tree.map(
        jnp.asarray,
        Transition(
            draw.integers(0, STATES, (time, lanes)).astype(np.int32),
            draw.integers(0, ACTIONS, (time, lanes)).astype(np.int32),
            draw.normal(size=(time, lanes)).astype(np.float32),
            draw.integers(0, STATES, (time, lanes)).astype(np.int32),
            terminated,
            truncated,
        ),
    )


def tables(seed=1):
    """Returns the action values of the online and of the target table, states first."""
    return np.random.default_rng(seed).normal(size=(2, STATES, ACTIONS))


def learner(kind=TD, **settings):
    settings = {"discount": GAMMA, "optimiser": "sgd", "max_gradient_norm": 1e9, "rollout_length": 6} | settings
    return kind(**{"epsilon": EPSILON, "temperature": TAU, "learning_rate": 1.0} | settings)


def updated(algorithm, transition, *, mask=None, key=5, **start):
    """Updates once from the two tables, and returns the state and the metrics."""
    online, target = (jnp.asarray(table.T, jnp.float32) for table in tables())
    state = algorithm.init(SPACES, key=jax.random.key(0))
    state = dataclasses.replace(
        state,
        online=dataclasses.replace(state.online, values=online),
        target=dataclasses.replace(state.target, values=target),
    )
    run = laws.fast_jit(lambda state, batch, key: algorithm.update(state, batch, step=jnp.zeros(()), key=key)[:2])
    return run(state, Batch(transition, mask=mask), jax.random.key(key))


def policy_by_hand(policy, q):
    if policy == "boltzmann":
        weight = np.exp(q / TAU)
        return weight / weight.sum()
    return EPSILON / ACTIONS + (1 - EPSILON) * (q == q.max())


def next_value(rule, policy, online, target, next_action):
    """Returns what a successor is worth, from the two tables' rows."""
    if rule == "q_learning":
        return target.max()
    if rule == "double_q_learning":
        return target[online.argmax()]
    if rule == "sarsa":
        return target[next_action]
    if rule == "soft_q_learning":
        return TAU * np.log(np.exp(target / TAU).sum())
    return policy_by_hand(policy, online) @ target


def table_by_hand(rule, policy, transition, drawn=None):
    """Returns the online table after one update with the learning rate 1: the mean of what single steps add."""
    online, target = tables()
    seen, after = laws.host(transition), online.copy()
    time, lanes = seen.reward.shape
    for t in range(time):
        for lane in range(lanes):
            place, action, following = (x[t, lane] for x in (seen.observation, seen.action, seen.next_observation))
            ended = seen.terminated[t, lane] | seen.truncated[t, lane]
            following_action = None
            if rule == "sarsa":
                following_action = drawn[t, lane] if ended or t == time - 1 else seen.action[t + 1, lane]
            bootstrap = next_value(rule, policy, online[following], target[following], following_action)
            goal = seen.reward[t, lane] + (0 if seen.terminated[t, lane] else GAMMA * bootstrap)
            after[place, action] += (goal - online[place, action]) / (time * lanes)
    return after


@pytest.mark.parametrize(
    ("rule", "policy"),
    [*((rule, "epsilon_greedy") for rule in RULES if rule != "sarsa"), ("expected_sarsa", "boltzmann")],
)
def test_table_moves_as_by_hand(rule, policy):
    transition = rollout()
    state, metrics = updated(learner(rule=rule, policy=policy), transition)
    np.testing.assert_allclose(state.online.values.T, table_by_hand(rule, policy, transition), atol=1e-5)
    np.testing.assert_allclose(state.target.values, state.online.values)  # the target's step is 1
    assert metrics["skipped"] == 0


# --------------------------------------------------------------------------------------------------------------- Sarsa


def law_sarsa_takes_the_next_action_that_was_taken(kind=TD):
    """Nothing is drawn while the episode goes on; at an end or at the last step the greedy policy's is known."""
    # With ε = 0 what is drawn is the best action, so the whole update is known.
    transition, (online, _) = rollout(), tables()
    drawn = online[np.asarray(transition.next_observation)].argmax(-1)
    state, _ = updated(learner(kind, rule="sarsa", epsilon=0.0), transition)
    np.testing.assert_allclose(state.online.values.T, table_by_hand("sarsa", None, transition, drawn), atol=1e-5)


def test_sarsa_takes_the_next_action_that_was_taken():
    law_sarsa_takes_the_next_action_that_was_taken()


@pytest.mark.slow
def test_drawn_actions_are_those_of_the_policy_and_of_their_lane():
    algorithm, transition = learner(rule="sarsa", policy="boltzmann"), rollout(time=1, lanes=512)
    transition = dataclasses.replace(transition, next_observation=jnp.zeros((1, 512), jnp.int32))
    online, _ = tables()
    q = jnp.broadcast_to(jnp.asarray(online[0], jnp.float32), (1, 512, ACTIONS))
    pi = algorithm._policy(q, transition.next_observation, jnp.zeros(()))

    def draw(transition, pi, axis_name=None):
        return _next_actions(Batch(transition), pi, jax.random.key(0), axis_name)

    found = np.asarray(laws.fast_jit(draw)(transition, pi))
    share = np.bincount(found.ravel(), minlength=ACTIONS) / 512
    # Five standard deviations of a share of 512 draws, at most.
    np.testing.assert_allclose(share, policy_by_hand("boltzmann", online[0]), atol=5 * np.sqrt(0.25 / 512))
    halves = jax.tree.map(lambda leaf: leaf.reshape(1, 2, 256, *leaf.shape[2:]), (transition, pi))
    spread = jax.vmap(lambda both: draw(*both, "devices"), in_axes=1, out_axes=1, axis_name="devices")
    np.testing.assert_array_equal(np.asarray(laws.fast_jit(spread)(halves)).reshape(1, 512), found)


FAULTS = {
    "the action of the same step": ("transition.action[1:], drawn", "transition.action[:-1], drawn"),
    "an action of the next episode": (
        "ended = transition.terminated | transition.truncated",
        "ended = transition.terminated",
    ),
    "bootstrap at a terminal state": (
        "jnp.where(transition.terminated, 0.0, self.discount)",
        "jnp.full_like(transition.reward, self.discount)",
    ),
    "no bootstrap at a truncation": (
        "jnp.where(transition.terminated, 0.0, self.discount)",
        "jnp.where(transition.terminated | transition.truncated, 0.0, self.discount)",
    ),
    "value of the state itself": ("(target, transition.next_observation)", "(target, transition.observation)"),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) for name in FAULTS])
def test_fault_in_sarsa_is_found(name):
    with pytest.raises(AssertionError):
        law_sarsa_takes_the_next_action_that_was_taken(faults.changed("bellmax.algorithms._td", *FAULTS[name]).TD)


# ------------------------------------------------------------------------------------------------------------- details


def test_masked_steps_do_not_count():
    transition, mask = rollout(), jnp.arange(24).reshape(6, 4) % 3 != 0
    poisoned = dataclasses.replace(transition, reward=jnp.where(mask, transition.reward, jnp.nan))
    one, other = (updated(learner(), each, mask=mask)[0].online.values for each in (transition, poisoned))
    np.testing.assert_array_equal(one, other)
    assert (np.asarray(one) != np.asarray(updated(learner(), transition)[0].online.values)).any()


def test_target_follows_by_its_step():
    state, _ = updated(learner(target_step=0.25), rollout())
    old = tables()[1].T
    np.testing.assert_allclose(state.target.values, 0.75 * old + 0.25 * np.asarray(state.online.values), atol=1e-6)


def test_first_value_is_added_to_an_empty_table():
    algorithm = learner(initial_value=2.0)
    state = algorithm.init(SPACES, key=jax.random.key(0))
    np.testing.assert_array_equal(algorithm._values(state.online, jnp.array(3)), np.full(ACTIONS, 2.0))
    assert state.online.values.shape == (ACTIONS, STATES)


@functools.cache
def actions(policy, explore):
    """Counts what is done in a state whose values are known, late in the schedule."""
    schedule = {"epsilon": lambda step: EPSILON * (step > 10), "temperature": lambda step: TAU + 100 * (step < 10)}
    algorithm = learner(policy=policy, **schedule)
    state = algorithm.init(SPACES, key=jax.random.key(0))
    online = jnp.asarray(tables()[0].T, jnp.float32)
    state = dataclasses.replace(state, online=dataclasses.replace(state.online, values=online))

    def act(key):
        return algorithm.act(state, jnp.array(0), None, step=jnp.array(20.0), key=key, explore=explore)[0]

    found = laws.fast_jit(jax.vmap(act))(jax.random.split(jax.random.key(3), 2000))
    return np.bincount(np.asarray(found), minlength=ACTIONS) / 2000


@pytest.mark.parametrize("policy", ["epsilon_greedy", "boltzmann"])
def test_behaviour_is_that_of_the_policy_and_evaluation_is_greedy(policy):
    q = tables()[0][0]
    # Five standard deviations of a share of 2000 draws, at most.
    np.testing.assert_allclose(actions(policy, True), policy_by_hand(policy, q), atol=5 * np.sqrt(0.25 / 2000))
    np.testing.assert_array_equal(actions(policy, False), q == q.max())


@pytest.mark.slow
def test_masked_actions_are_neither_taken_nor_valued():
    space = kinds.Dict({"observation": kinds.Discrete(STATES), "action_mask": kinds.MultiBinary(ACTIONS)})
    algorithm = learner(initial_value=1.0)
    state = algorithm.init(Spaces(space, kinds.Discrete(ACTIONS)), key=jax.random.key(0))
    seen = {"observation": jnp.array(0), "action_mask": jnp.array([0, 1, 0], jnp.int8)}
    assert np.isneginf(algorithm._values(state.online, seen)[jnp.array([0, 2])]).all()

    def act(key):
        act = functools.partial(algorithm.act, state, seen, None, step=jnp.zeros(()), key=key)
        return act()[0], act(explore=False)[0]

    for found in laws.fast_jit(jax.vmap(act))(jax.random.split(jax.random.key(0), 20)):
        np.testing.assert_array_equal(found, 1)


@pytest.mark.parametrize("name", ["rule", "policy", "optimiser"])
def test_unknown_choice_is_answered_with_the_list(name):
    with pytest.raises(ValueError, match=f"TD: {name} must be one of .*got 'best'"):
        TD(**{name: "best"})


def test_actions_must_be_discrete():
    with pytest.raises(TypeError, match="actions must be Discrete; got Box"):
        TD().init(Spaces(SPACES.observation, kinds.Box(-1.0, 1.0, (1,))), key=jax.random.key(0))


# -------------------------------------------------------------------------------------------------------- known optima


def best(environment, algorithm, calls):
    trainer = training.Trainer(algorithm, environment, 1)

    def run(key):
        state, _ = training.train_chunk(trainer, trainer.init(key), calls)
        state = state.shared.algorithm
        return training.evaluate(
            algorithm, environment, state, step=jnp.zeros(()), key=jax.random.key(1), episodes=1, max_steps=200
        ).episode_return[0]

    return np.asarray(laws.fast_jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 3)))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["epsilon_greedy", "boltzmann"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_crosses_the_frozen_lake(rule, policy):
    algorithm = TD(
        rule=rule, policy=policy, optimiser="sgd", learning_rate=0.5, initial_value=1.0, discount=0.9, temperature=0.01
    )
    np.testing.assert_array_equal(best(envs.FrozenLake(), algorithm, 20_000), 1)


@pytest.mark.slow
def test_optimism_solves_deep_sea_and_its_absence_does_not():
    deep_sea = envs.make("DeepSea-bsuite")
    settings = {"optimiser": "sgd", "learning_rate": 1.0, "discount": 1.0, "epsilon": 0.0}
    np.testing.assert_allclose(best(deep_sea, TD(**settings, initial_value=1.0), 10_000), 0.99, atol=1e-5)
    assert (best(deep_sea, TD(**settings), 10_000) <= 0).all()


@pytest.mark.parametrize("rule", [RULES[0], *(pytest.param(rule, marks=pytest.mark.slow) for rule in RULES[1:])])
def test_no_action_need_be_legal_in_a_terminal_state(rule):
    space = kinds.Dict({"observation": kinds.Discrete(STATES), "action_mask": kinds.MultiBinary(ACTIONS)})
    algorithm, transition = learner(rule=rule), rollout()
    state = algorithm.init(Spaces(space, kinds.Discrete(ACTIONS)), key=jax.random.key(0))
    legal = jnp.ones((*transition.reward.shape, ACTIONS), jnp.int8)
    after = legal * ~transition.terminated[..., None]
    masked = dataclasses.replace(
        transition,
        observation={"observation": transition.observation, "action_mask": legal},
        next_observation={"observation": transition.next_observation, "action_mask": after.astype(jnp.int8)},
    )
    _, metrics, _ = algorithm.update(state, Batch(masked), step=jnp.zeros(()), key=jax.random.key(1))
    assert metrics["skipped"] == 0
    assert np.isfinite(metrics["loss"])
