"""What wrappers show, take and pay, against loops by hand."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import envs, transforms
from bellmax._core import example
from bellmax.envs import Spaces, Step, wrappers

LOW, HIGH = np.array([[-1.0, 0.0]], np.float32), np.array([[1.0, 4.0]], np.float32)


class Echo(envs.AbstractEnvironment):
    """Shows what it is given: a space of observations, and in `info` the action that arrived."""

    observation: kinds.Space = eqx.field(static=True)
    action: kinds.Space = eqx.field(static=True)
    gain: float = 1.0

    @property
    def spaces(self):
        return Spaces(self.observation, self.action)

    def reset(self, *, key):
        del key
        return jnp.zeros((), jnp.int32), self._show(jnp.zeros((), jnp.int32))

    def step(self, state, action, *, key):
        del key
        never = jnp.array(False)
        reward = self.gain * (state + 1).astype(float)
        return state + 1, Step(self._show(state + 1), reward, never, never, {"action": action})

    def _show(self, time):
        return jax.tree.map(lambda leaf: leaf + time.astype(leaf.dtype), example(self.observation))


BOX = kinds.Box(-100.0, 100.0, (2,), np.float32)


def taken(environment, action, keys=1):
    """Returns the actions that arrive inside, one a key."""
    state, _ = environment.reset(key=jax.random.key(0))
    return np.stack(
        [environment.step(state, jnp.asarray(action), key=jax.random.key(k))[1].info["action"] for k in range(keys)]
    )


@pytest.mark.parametrize(
    "wrap", [wrappers.EpisodeStatistics, wrappers.RescaleAction, lambda inner: wrappers.TimeLimit(inner, 3)]
)
def test_environment_outside_jax_is_refused(wrap):
    with pytest.raises(TypeError, match="must be an AbstractEnvironment; got a GymnasiumEnvironment"):
        wrap(envs.make("gymnasium/Pendulum-v1"))


def test_rescale_maps_ends_to_ends_and_clips():
    environment = wrappers.RescaleAction(Echo(BOX, kinds.Box(LOW, HIGH)), -2.0, 2.0)
    assert environment.spaces.action == kinds.Box(-2.0, 2.0, (1, 2), np.float32)
    np.testing.assert_array_equal(taken(environment, [[-2.0, 2.0]])[0], [[-1, 4]])
    np.testing.assert_array_equal(taken(environment, [[1.0, -1.0]])[0], [[0.5, 1.0]])
    np.testing.assert_array_equal(taken(environment, [[9.0, -9.0]])[0], [[1, 0]])


def test_clip_takes_anything():
    environment = wrappers.ClipAction(Echo(BOX, kinds.Box(LOW, HIGH)))
    assert np.isinf(environment.spaces.action.high).all()
    np.testing.assert_array_equal(taken(environment, [[-5.0, 5.0]])[0], [[-1, 4]])
    np.testing.assert_array_equal(taken(environment, [[0.5, 0.5]])[0], [[0.5, 0.5]])


def test_reals_are_squeezed_as_the_transform_does():
    environment = wrappers.BoxToReals(Echo(BOX, kinds.Box(LOW, HIGH)))
    assert environment.spaces.action.shape == (2,)
    for x in ([-1e9, 1e9], [0.0, 0.3], [-3.0, 2.0]):
        expected = transforms.reals_to_box(jnp.array([x]), LOW, HIGH)
        np.testing.assert_array_equal(taken(environment, x)[0], expected)


def test_discretise_without_jitter_takes_the_middle_of_the_bin():
    environment = wrappers.DiscretiseAction(Echo(BOX, kinds.Box(LOW, HIGH)), (2, 4), jitter=False)
    assert environment.spaces.action == kinds.MultiDiscrete([2, 4])
    np.testing.assert_allclose(taken(environment, [0, 3])[0], [[-0.5, 3.5]])
    one = wrappers.DiscretiseAction(Echo(BOX, kinds.Box(0.0, 1.0, (1,), np.float32)), 5, jitter=False)
    assert one.spaces.action == kinds.Discrete(5)
    np.testing.assert_allclose(taken(one, 4)[0], [0.9])


def test_discretise_with_jitter_fills_the_bin_and_nothing_else():
    environment = wrappers.DiscretiseAction(Echo(BOX, kinds.Box(LOW, HIGH)), (2, 4))
    drawn = taken(environment, [1, 2], keys=200).reshape(-1, 2)
    assert (drawn >= [0, 2]).all()
    assert (drawn <= [1, 3]).all()
    # 200 uniform draws: extremes within 5 % of the bounds, mean within five standard errors.
    assert (drawn.min(0) - [0, 2] < 0.05).all()
    np.testing.assert_allclose(drawn.mean(0), [0.5, 2.5], atol=5 * np.sqrt(1 / 12 / 200))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 5 / np.sqrt(200)


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_sticky_repeats_what_was_taken_as_often_as_it_should(probability):
    environment = wrappers.StickyAction(Echo(BOX, kinds.Discrete(1000)), probability)

    def step(state, now):
        action, key = now
        state, outcome = environment.step(state, action, key=key)
        return state, outcome.info["action"]

    state, _ = environment.reset(key=jax.random.key(0))
    given = jnp.arange(1, 601)
    actions = np.asarray(jax.lax.scan(step, state, (given, jax.random.split(jax.random.key(1), 600)))[1])
    assert actions[0] == 1
    stuck = actions != np.asarray(given)
    np.testing.assert_array_equal(actions[1:][stuck[1:]], actions[:-1][stuck[1:]])
    spread = 5 * np.sqrt(probability * (1 - probability) / 599)
    np.testing.assert_allclose(stuck[1:].mean(), probability, atol=spread)


def test_rewards_are_clipped_and_transformed():
    environment = Echo(BOX, kinds.Discrete(2))
    state, _ = environment.reset(key=jax.random.key(0))
    for wrapped, expected in [
        (wrappers.ClipReward(environment, -1.0, 2.5), [1, 2, 2.5]),
        (wrappers.TransformReward(environment, lambda reward: -2 * reward), [-2, -4, -6]),
        (wrappers.TransformReward(environment, lambda reward: jnp.array(1, jnp.int32)), [1, 1, 1]),
    ]:
        rewards, inner = [], state
        for _ in range(3):
            inner, step = wrapped.step(inner, jnp.array(0), key=jax.random.key(0))
            rewards.append(float(step.reward))
            assert step.reward.dtype == jnp.float32
        assert rewards == expected


def test_bounds_of_the_reward_can_be_mapped_over():
    def pay(high):
        environment = wrappers.ClipReward(Echo(BOX, kinds.Discrete(2)), 0.0, high)
        return environment.step(jnp.array(6), jnp.array(0), key=jax.random.key(0))[1].reward

    assert jax.vmap(pay)(jnp.array([1.0, 3.0, 9.0])).tolist() == [1, 3, 7]


TREE = kinds.Dict(
    {
        "b": kinds.Tuple((kinds.Discrete(3, start=-1), kinds.Box(0, 255, (2, 2), np.uint8))),
        "a": kinds.MultiDiscrete([2, 4], start=[1, 0]),
        "c": kinds.MultiBinary(3),
        "d": kinds.Box(-1.0, 1.0, (), np.float32),
    }
)


@pytest.mark.parametrize(
    "space",
    [TREE, *TREE.values(), kinds.Box(-1.0, 1.0, (2, 3), np.float64), kinds.MultiDiscrete([[2, 3], [4, 2]])],
    ids=str,
)
def test_flatten_is_gymnasiums(space):
    space.seed(0)
    environment = wrappers.FlattenObservation(Echo(space, kinds.Discrete(2)))
    flat = environment.spaces.observation
    reference = kinds.flatten_space(space)
    np.testing.assert_allclose(flat.low, reference.low)
    np.testing.assert_allclose(flat.high, reference.high)
    for _ in range(3):
        element = space.sample()
        _, vector = environment.first(jax.tree.map(jnp.asarray, element), key=jax.random.key(0))
        np.testing.assert_allclose(vector, kinds.flatten(space, element), rtol=1e-6)
        assert vector.dtype == flat.dtype
        assert flat.contains(np.asarray(vector))


@pytest.mark.parametrize("choice", [-2, 2, 100])
def test_a_choice_outside_its_range_is_seen(choice):
    environment = wrappers.FlattenObservation(Echo(TREE["b"], kinds.Discrete(2)))
    _, vector = environment.first((jnp.array(choice), jnp.zeros((2, 2), jnp.uint8)), key=jax.random.key(0))
    assert np.isnan(vector[:3]).all()
    assert not np.isnan(vector[3:]).any()


@pytest.mark.parametrize("space", [TREE, kinds.Discrete(3)], ids=["tree", "discrete"])
def test_only_boxes_are_stacked(space):
    with pytest.raises(TypeError, match=r"observations must be a Box; got .*put FlattenObservation inside"):
        wrappers.FrameStack(Echo(space, kinds.Discrete(2)), 2)


def test_stack_repeats_bounds_and_keeps_the_type():
    space = kinds.Box(np.array([0, 1], np.uint8), np.array([9, 8], np.uint8), dtype=np.uint8)
    stacked = wrappers.FrameStack(Echo(space, kinds.Discrete(2)), 3).spaces.observation
    assert stacked.dtype == np.uint8
    np.testing.assert_array_equal(stacked.low, [[0, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(stacked.high, [[9, 9, 9], [8, 8, 8]])


def observations(environment, steps, key=0):
    state, observation = environment.reset(key=jax.random.key(key))
    seen = [observation]
    for i in range(steps):
        state, step = environment.step(state, jnp.array(0), key=jax.random.key(100 + i))
        seen.append(step.observation)
    return seen


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_delay_shows_what_was(steps):
    space = kinds.Dict({"x": BOX, "n": kinds.Discrete(50)})
    seen = observations(wrappers.ObservationDelay(Echo(space, kinds.Discrete(2)), steps), 6)
    assert [int(each["n"]) for each in seen] == [max(0, time - steps) for time in range(7)]
    assert [float(each["x"][1]) for each in seen] == [max(0, time - steps) for time in range(7)]


def test_noise_has_its_scale_and_spares_whole_numbers():
    wide = kinds.Box(-1.0, 1.0, (4000,), np.float32)
    space = kinds.Dict({"x": wide, "y": wide, "n": kinds.Discrete(50), "u": kinds.Box(0, 255, (3,), np.uint8)})
    environment = wrappers.ObservationNoise(Echo(space, kinds.Discrete(2)), 0.5)
    assert np.isinf(environment.spaces.observation["x"].high).all()
    assert environment.spaces.observation["u"] == space["u"]
    seen = observations(environment, 2)
    assert [int(each["n"]) for each in seen] == [0, 1, 2]
    assert [each["u"].tolist() for each in seen] == [[0] * 3, [1] * 3, [2] * 3]
    for time, each in enumerate(seen):
        noise = np.asarray(each["x"]) - time
        np.testing.assert_allclose(noise.std(), 0.5, rtol=0.08)
        assert abs(np.corrcoef(noise, np.asarray(each["y"]))[0, 1]) < 0.08
    assert abs(np.corrcoef(seen[0]["x"], seen[1]["x"])[0, 1]) < 0.08
    none = observations(wrappers.ObservationNoise(Echo(space, kinds.Discrete(2)), 0.0), 1)
    np.testing.assert_array_equal(none[1]["x"], np.ones(4000))


def test_masks_are_passed_through_untouched():
    space = kinds.Dict({"observation": BOX, "action_mask": kinds.MultiBinary(3)})
    environment = Echo(space, kinds.Discrete(3))
    for wrapped, value, shape in [
        (wrappers.FrameStack(environment, 2), 1, (2, 2)),
        (wrappers.ObservationDelay(environment, 2), 0, (2,)),
        (wrappers.FlattenObservation(environment), 2, (2,)),
    ]:
        last = observations(wrapped, 2)[-1]
        assert float(last["observation"].ravel()[0]) == value
        assert last["observation"].shape == shape == wrapped.spaces.observation["observation"].shape
        # The mask speaks of now: two steps in, not of the delayed past.
        assert last["action_mask"].tolist() == [2, 2, 2]
        assert wrapped.spaces.observation["action_mask"] == space["action_mask"]


def draw(environment, key):
    return dataclasses.replace(environment, gain=jax.random.uniform(key, minval=1.0, maxval=2.0))


def test_randomise_draws_anew_at_each_reset_and_holds_it_for_the_episode():
    environment = wrappers.DomainRandomisation(Echo(BOX, kinds.Discrete(2)), draw)

    def episode(key):
        state, _ = environment.reset(key=key)

        def step(state, key):
            state, outcome = environment.step(state, jnp.array(0), key=key)
            return state, outcome.reward

        return jax.lax.scan(step, state, jax.random.split(key, 3))[1]

    rewards = np.asarray(jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 50)))
    gains = rewards / [1, 2, 3]
    np.testing.assert_allclose(gains, gains[:, :1].repeat(3, axis=1), rtol=1e-6)
    assert len(set(gains[:, 0])) == 50
    assert 1 <= gains.min() < 1.1
    assert 1.9 < gains.max() <= 2


def test_randomise_reaches_parameters_of_gymnax():
    pytest.importorskip("gymnax")

    def heavier(environment, key):
        return eqx.tree_at(lambda env: env.parameters.masspole, environment, jax.random.uniform(key))

    cartpole = envs.make("CartPole-v1")
    environment = wrappers.DomainRandomisation(cartpole, heavier)

    @jax.jit
    def compare(key):
        state, _ = environment.reset(key=key)
        after, _ = environment.step(state, jnp.array(1), key=key)
        masspole, kept = (next(leaf for leaf in each.own if leaf is not None) for each in (state, after))
        drawn = eqx.tree_at(lambda env: env.parameters.masspole, cartpole, masspole)
        by_hand, _ = drawn.step(state.inner, jnp.array(1), key=key)
        as_made, _ = cartpole.step(state.inner, jnp.array(1), key=key)
        return masspole, kept, after.inner.theta_dot, by_hand.theta_dot, as_made.theta_dot

    masspole, kept, speed, by_hand, as_made = jax.vmap(compare)(jax.random.split(jax.random.key(0), 3))
    np.testing.assert_array_equal(kept, masspole)
    assert len(set(masspole.tolist())) == 3
    np.testing.assert_allclose(speed, by_hand, rtol=1e-5)
    assert (np.abs(speed - as_made) > 1e-4).all()


def test_randomise_refuses_another_environment():
    environment = wrappers.DomainRandomisation(envs.Chain(), lambda environment, key: envs.Bandit())
    with pytest.raises(TypeError, match="draw may change leaves only"):
        environment.reset(key=jax.random.key(0))
