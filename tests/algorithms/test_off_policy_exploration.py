"""How the actor-critics that learn from replay explore, which actions they take, and what a batch may bring."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from algorithms import actor_critic_laws as laws
from bellmax._core import Spaces
from bellmax.algorithms import DDPG, SAC, TD3, TQC, Batch, DiscreteSAC
from bellmax.algorithms._exploration import ActionBox
from training.laws import fast_jit, largest_difference

BOX = kinds.Box(np.array([-1.0, 0.0], np.float32), np.array([3.0, 0.5], np.float32))
SPACES = Spaces(laws.OBSERVATION, BOX)
SMALL = dict(hidden_sizes=(4,), warm_up=10)
SEEN = jnp.array([0.3, -1.0, 2.0])
KEYS = jax.random.split(jax.random.key(5), 500)


@functools.cache
def started(kind, **settings):
    algorithm = kind(**SMALL | settings)
    return algorithm, fast_jit(lambda key: algorithm.init(SPACES, key=key))(jax.random.key(0))


def act(algorithm, state, memory, step, explore=True):
    """Acts with each key, each time out of the same memory."""

    @fast_jit
    def run(memory, keys):
        return jax.vmap(
            lambda key: algorithm.act(state, SEEN, memory, step=jnp.asarray(step), key=key, explore=explore)
        )(keys)

    action, extras, memory = run(memory, KEYS)
    assert extras is None
    return np.asarray(action), memory


@pytest.mark.parametrize("kind", [SAC, TQC, TD3, DDPG])
def test_actions_that_do_not_fit_are_refused(kind):
    key = jax.random.key(0)
    for space in (kinds.Discrete(2), kinds.Box(-1.0, 1.0, (2, 2), np.float32)):
        with pytest.raises(TypeError, match="actions must be a Box with one axis"):
            kind(**SMALL).init(Spaces(laws.OBSERVATION, space), key=key)
    with pytest.raises(ValueError, match="actions must have finite bounds"):
        kind(**SMALL).init(Spaces(laws.OBSERVATION, kinds.Box(-np.inf, 1.0, (2,), np.float32)), key=key)
    flat = kinds.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 0.0], np.float32))
    with pytest.raises(ValueError, match="every dimension of an action needs room"):
        kind(**SMALL).init(Spaces(laws.OBSERVATION, flat), key=key)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="SAC: n_step must be at least 1; got 0"):
        SAC(n_step=0)
    with pytest.raises(ValueError, match="TD3: noise must be one of gaussian, ornstein-uhlenbeck; got 'pink'"):
        TD3(noise="pink")
    with pytest.raises(ValueError, match="TQC: dropped must be from 0 to quantiles - 1; got 5 of 5"):
        TQC(quantiles=5, dropped=5)
    with pytest.raises(ValueError, match="SAC: temperature must be positive where it is learned"):
        SAC(temperature=0.0)
    with pytest.raises(ValueError, match="DDPG: discount must be in"):
        DDPG(discount=1.5)
    with pytest.raises(TypeError, match="actions must be Discrete"):
        DiscreteSAC().init(SPACES, key=jax.random.key(0))


def test_box_maps_its_bounds_to_one_and_back():
    box = ActionBox.of(BOX)
    ends = np.stack([BOX.low, BOX.high])
    np.testing.assert_allclose(jax.vmap(box.scaled)(jnp.asarray(ends)), [[-1, -1], [1, 1]], atol=1e-6)
    np.testing.assert_array_equal(jax.vmap(box.widened)(jnp.array([[-1.0, -1.0], [1.0, 1.0]])), ends)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [SAC, TQC, TD3, DDPG])
def test_actions_lie_in_the_box_and_are_uniform_in_the_warm_up(kind):
    settings = {} if kind in (SAC, TQC) else {"noise_stddev": 3.0}
    algorithm, state = started(kind, **settings)
    memory = algorithm.init_memory(SPACES)
    for step in (0.0, 9.0, 10.0):
        action, _ = act(algorithm, state, memory, step)
        assert (action >= BOX.low).all()
        assert (action <= BOX.high).all()
        share = (action - BOX.low) / (BOX.high - BOX.low)
        if step < 10:  # four standard errors of a mean, and of a share, over 500 uniform draws
            assert (np.abs(share.mean(axis=0) - 0.5) < 4 * np.sqrt(1 / 12 / 500)).all()
            assert (np.abs((share < 0.1).mean(axis=0) - 0.1) < 4 * np.sqrt(0.09 / 500)).all()
    best, _ = act(algorithm, state, memory, 0.0, explore=False)
    assert (best == best[0]).all()


@pytest.mark.slow
def test_gaussian_noise_is_in_halves_of_the_range():
    algorithm, state = started(TD3, noise_stddev=lambda step: step / 1000)
    best, _ = act(algorithm, state, None, 100.0, explore=False)
    action, memory = act(algorithm, state, None, 100.0)
    assert memory is None
    deviation = (action - best).std(axis=0) / ((BOX.high - BOX.low) / 2)
    np.testing.assert_allclose(deviation, 0.1, rtol=0.15)


@pytest.mark.slow
def test_ornstein_uhlenbeck_noise_has_inertia():
    algorithm, state = started(TD3, noise="ornstein-uhlenbeck", noise_stddev=0.0, noise_theta=0.25)
    np.testing.assert_array_equal(algorithm.init_memory(SPACES), np.zeros(2))
    best, _ = act(algorithm, state, jnp.zeros(2), 100.0, explore=False)
    action, memory = act(algorithm, state, jnp.array([0.1, -0.1]), 100.0)
    np.testing.assert_allclose(memory, np.tile([[0.075, -0.075]], (500, 1)), rtol=1e-6)
    wanted = best + np.array([0.075, -0.075]) * (BOX.high - BOX.low) / 2
    np.testing.assert_allclose(action, np.clip(wanted, BOX.low, BOX.high), atol=1e-5)


@pytest.mark.slow
def test_state_dependent_noise_stays_for_its_period():
    algorithm, state = started(SAC, state_dependent=True, noise_period=3, initial_log_stddev=-1.0)
    memory, actions = algorithm.init_memory(SPACES), []
    step = fast_jit(lambda memory, key: algorithm.act(state, SEEN, memory, step=jnp.asarray(100.0), key=key))
    for key in KEYS[:7]:
        action, _, memory = step(memory, key)
        actions.append(np.asarray(action))
    for begin in (0, 3):
        np.testing.assert_array_equal(actions[begin], actions[begin + 1])
        np.testing.assert_array_equal(actions[begin], actions[begin + 2])
        assert (actions[begin] != actions[begin + 3]).all()
    # An episode begins with a matrix of its own, whatever the last one was.
    fresh, _ = act(algorithm, state, algorithm.init_memory(SPACES), 100.0)
    assert len(np.unique(fresh[:, 0])) == 500


@pytest.mark.slow
def test_state_dependent_noise_has_the_distribution_that_is_learned_from():
    algorithm, state = started(SAC, state_dependent=True, noise_period=3, initial_log_stddev=-1.0)
    action, _ = act(algorithm, state, algorithm.init_memory(SPACES), 100.0)
    box, pi = ActionBox.of(BOX), state.actor(SEEN)
    raw = np.arctanh(np.clip(jax.vmap(box.scaled)(jnp.asarray(action)), -0.999999, 0.999999))
    stddev = np.exp(0.5 * np.asarray(pi.logvar))
    # Four standard errors of a mean and of a deviation over 500 draws.
    assert (np.abs(raw.mean(axis=0) - pi.mu) < 4 * stddev / np.sqrt(500)).all()
    assert (np.abs(raw.std(axis=0) - stddev) < 4 * stddev / np.sqrt(1000)).all()


def test_members_of_an_ensemble_differ_and_share_no_memory():
    _, state = started(SAC)
    weight = np.asarray(state.critics.network.mlp.layers[0].weight)
    assert weight.shape[0] == 2
    assert (weight[0] != weight[1]).any()
    leaves = jax.tree.leaves((state.actor, state.critics, state.target_critics))
    assert len({leaf.unsafe_buffer_pointer() for leaf in leaves}) == len(leaves)


@pytest.mark.slow
def test_several_steps_are_one_long_step():
    # Two steps of reward r₁ + γ r₂, then γ² of what follows; after a termination or a truncation only the first.
    rng = np.random.default_rng(0)
    first, second = laws.batch_of().transition, laws.batch_of().transition
    second = dataclasses.replace(
        second,
        observation=first.next_observation,
        reward=jnp.asarray(rng.normal(size=4), jnp.float32),
        next_observation=jax.nn.one_hot(np.array([2, 0, 1, 1]), 3),
        terminated=jnp.zeros(4, bool),
        truncated=jnp.zeros(4, bool),
    )
    ended = laws.TERMINATED | laws.TRUNCATED
    sequence = Batch(jax.tree.map(lambda one, two: jnp.stack([one, two]), first, second))
    algorithm, state = laws.made_sac(laws.REAL, n_step=2)
    _, metrics, feedback = laws.updated(algorithm, state, sequence)
    joined = dataclasses.replace(
        first,
        reward=jnp.where(ended, first.reward, first.reward + laws.DISCOUNT * second.reward),
        next_observation=jnp.where(ended[:, None], first.next_observation, second.next_observation),
    )
    # γ² where both steps count, γ where the first was cut: one-step updates at each discount, put together.
    wanted = []
    for discount in (laws.DISCOUNT, laws.DISCOUNT**2):
        one_step, state = laws.made_sac(laws.REAL, discount=discount)
        wanted.append(np.asarray(laws.updated(one_step, state, Batch(joined))[2].priority))
    np.testing.assert_allclose(feedback.priority, np.where(ended, *wanted), rtol=1e-5)
    assert np.isfinite(metrics["critic_loss"])


@pytest.mark.slow
def test_update_does_not_depend_on_devices():
    # The noise of an example comes from its index among the examples of all devices.
    algorithm, state = laws.made_sac(laws.REAL, learn_temperature=True)
    halves = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), laws.batch_of())

    def update(batch, axis_name=None):
        return algorithm.update(state, batch, step=jnp.zeros(()), key=laws.KEY, axis_name=axis_name)[0]

    spread = fast_jit(jax.vmap(lambda batch: update(batch, "devices"), out_axes=None, axis_name="devices"))(halves)
    assert largest_difference(fast_jit(update)(laws.batch_of()), spread) < 1e-6


@pytest.mark.slow
def test_ddpg_is_td3_without_its_additions():
    settings = dict(online=laws.ONLINE[:1], target=laws.TARGET[:1])
    plain = types_of(DDPG)
    one, state = laws.made_td3(plain, **settings)
    other, same = laws.made_td3(laws.REAL, **settings)
    assert largest_difference(laws.updated(one, state)[0], laws.updated(other, same)[0]) == 0
    assert (DDPG().members, DDPG().policy_delay, DDPG().smoothing_stddev) == (1, 1, 0.0)
    assert (TD3().members, TD3().policy_delay, TD3().smoothing_stddev) == (2, 2, 0.2)


def types_of(kind):
    return dataclasses.make_dataclass("Subject", [("TD3", type, kind)])()


@pytest.mark.slow
def test_forbidden_actions_are_never_taken_nor_valued():
    space = kinds.Dict({"observation": laws.OBSERVATION, "action_mask": kinds.MultiBinary(3)})
    algorithm = DiscreteSAC(hidden_sizes=(4,), warm_up=3)
    state = algorithm.init(Spaces(space, kinds.Discrete(3)), key=jax.random.key(0))
    observation = {"observation": SEEN, "action_mask": jnp.array([1, 0, 1], jnp.int8)}

    @fast_jit
    def act(step):
        return jax.vmap(lambda key: algorithm.act(state, observation, None, step=step, key=key)[0])(KEYS)

    for step in (2.0, 3.0):  # the last of the warm-up, and the first by the actor
        assert set(np.asarray(act(jnp.asarray(step))).tolist()) == {0, 2}
    batch = Batch(
        dataclasses.replace(
            laws.batch_of(np.array([0, 2, 0, 2])).transition,
            observation=jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), observation),
            next_observation=jax.tree.map(lambda leaf: jnp.stack([leaf] * 4), observation),
        )
    )
    after, metrics, _ = laws.updated(algorithm, state, batch)
    assert metrics["skipped"] == 0
    assert np.isfinite(metrics["actor_loss"])
    assert metrics["entropy"] <= np.log(2) + 1e-6
    # The temperature aims at a share of what two legal actions allow, which three would not reach.
    assert metrics["entropy"] < 0.98 * np.log(3)
    assert (after.temperature.log_alpha > state.temperature.log_alpha) == (metrics["entropy"] < 0.98 * np.log(2))
    assert largest_difference(after.actor, state.actor) > 0
