"""Each adapted package beside itself stepped by hand: the same numbers up to the end, and the end in its place."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import envs
from bellmax._core import Masked, example
from bellmax.envs import _jumanji
from bellmax.envs._adapter import raw_key
from bellmax.envs._brax_like import quiet
from training.laws import avals, fast_jit


def needs(package, name, *marks, **settings):
    return pytest.param(package, name, settings, marks=[*marks], id=name)


NAMES = [
    needs("brax", "brax/fast", episode_length=4),
    needs("brax", "brax/inverted_pendulum", pytest.mark.slow, episode_length=4),
    needs("brax", "brax/ant", pytest.mark.slow, backend="positional", episode_length=4),
    needs("mujoco_playground", "playground/CartpoleBalance", pytest.mark.slow, episode_length=4),
    needs("mujoco_playground", "playground/PendulumSwingup", pytest.mark.slow, episode_length=4),
    needs("jumanji", "jumanji/Snake-v1", time_limit=4),
    needs("jumanji", "jumanji/Maze-v0", pytest.mark.slow, time_limit=4),
    needs("xminigrid", "xminigrid/MiniGrid-EmptyRandom-5x5", max_steps=4),
    needs("xminigrid", "xminigrid/MiniGrid-DoorKey-5x5", pytest.mark.slow, max_steps=4),
]


@pytest.fixture(scope="module")
def made():
    known = {}

    def make(package, name, settings):
        if package == "brax":  # jaxopt, which it imports, warns
            with quiet():
                pytest.importorskip(package)
        pytest.importorskip(package)
        return known.setdefault(name, envs.make(name, **settings))

    return make


def random_actions(space, count):
    space.seed(0)
    return [
        jax.tree.map(lambda a, like: jnp.asarray(a, like.dtype), space.sample(), example(space)) for _ in range(count)
    ]


def by_hand(environment):
    """Returns the package's own reset and step: (observation, reward, terminated, truncated) in the package's terms."""
    env = environment._fixed.env
    kind = type(environment).__name__
    if kind in ("BraxEnvironment", "PlaygroundEnvironment"):
        return env.reset, env.step, lambda state: (state.obs, state.reward, state.done == 1, None)
    if kind == "XMiniGridEnvironment":

        def read(state):
            last = bool(state.last())
            return state.observation, state.reward, last and state.discount == 0, last and state.discount == 1

        parameters = environment.parameters
        return lambda key: env.reset(parameters, key), lambda state, action: env.step(parameters, state, action), read

    def read(pair):
        step, observation, space = pair[1], {}, Masked.of(environment.spaces.observation)
        for name in space.observation:
            part = getattr(step.observation, name)
            observation[name] = part._asdict() if hasattr(part, "_asdict") else part
        if space.action_mask is not None:
            mask = step.observation.action_mask
            observation = {"observation": observation, "action_mask": mask if mask.any() else mask + True}
        return observation, step.reward, step.last() and step.discount == 0, None

    return env.reset, lambda pair, action: env.step(pair[0], action), read


def same(got, wanted):
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5), got, wanted)


@pytest.mark.parametrize(("package", "name", "settings"), NAMES)
def test_package_is_what_it_is_by_hand(made, package, name, settings):
    environment, traces = made(package, name, settings), []

    def step(state, action, key):
        traces.append(1)
        return environment.step(state, action, key=key)

    key = jax.random.key(0)
    state, observation = fast_jit(lambda key: environment.reset(key=key))(key)
    raw_reset, raw_step, read = by_hand(environment)
    raw_step, step = fast_jit(raw_step), fast_jit(step)
    raw = fast_jit(raw_reset)(raw_key(key))
    same(observation, read(raw)[0])
    limit = next(iter(settings[each] for each in ("episode_length", "time_limit", "max_steps") if each in settings))
    for time, action in enumerate(random_actions(environment.spaces.action, limit), start=1):
        types = avals(state)
        state, outcome = step(state, action, jax.random.key(time))
        raw = raw_step(raw, action)
        wanted, reward, terminated, truncated = read(raw)
        same(outcome.observation, wanted)  # at the end too: that of the true successor
        assert environment.spaces.observation.contains(jax.tree.map(np.asarray, outcome.observation))
        same(outcome.reward, reward)
        assert bool(outcome.terminated) == bool(terminated)
        assert bool(outcome.truncated) == (time == limit if truncated is None else bool(truncated))
        assert avals(state) == types
        assert avals(outcome.observation) == avals(observation)
        if terminated:
            break
    assert bool(outcome.truncated) == (time == limit)
    assert len(traces) == 1


@pytest.mark.parametrize(("package", "name", "settings"), NAMES)
def test_package_fits_its_spaces_and_runs_in_lanes(made, package, name, settings):
    environment = made(package, name, settings)
    spaces = environment.spaces
    state, observation = fast_jit(jax.vmap(lambda key: environment.reset(key=key)))(
        jax.random.split(jax.random.key(0), 6)
    )
    for lane in range(6):
        assert spaces.observation.contains(jax.tree.map(lambda leaf, lane=lane: np.asarray(leaf[lane]), observation))
    if name != "brax/fast":  # which has one first state
        assert (
            len({tuple(np.concatenate([np.ravel(x[lane]) for x in jax.tree.leaves(observation)])) for lane in range(6)})
            > 1
        )
    action = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (6, *leaf.shape)), example(spaces.action))
    keys = jax.random.split(jax.random.key(1), 6)
    after, step = jax.eval_shape(jax.vmap(lambda *args: environment.step(*args[:2], key=args[2])), state, action, keys)
    assert avals(after) == avals(state)
    assert step.reward.shape == step.terminated.shape == step.truncated.shape == (6,)


def test_lanes_of_a_maze_end_in_both_ways():
    pytest.importorskip("xminigrid")
    environment = envs.make("xminigrid/MiniGrid-EmptyRandom-5x5", max_steps=12)
    space = environment.spaces.action
    keys = jax.random.split(jax.random.key(0), 64)

    def play(key):
        def step(carry, time):
            state, over = carry
            action = jax.random.randint(jax.random.fold_in(key, time), (), 0, space.n)
            state, outcome = environment.step(state, action, key=key)
            seen = (outcome.terminated & ~over, outcome.truncated & ~over)
            return (state, over | outcome.terminated | outcome.truncated), seen

        state, _ = environment.reset(key=key)
        return jax.lax.scan(step, (state, jnp.array(False)), jnp.arange(13))[1]

    terminated, truncated = map(np.asarray, fast_jit(jax.vmap(play))(keys))
    np.testing.assert_array_equal(terminated.sum(1) + truncated.sum(1), 1)
    assert 0 < terminated.sum() < 64
    assert set(np.nonzero(truncated)[1]) == {11}


def test_time_limit_of_jumanji_is_no_terminal_state():
    jumanji = pytest.importorskip("jumanji")
    environment, theirs = envs.make("jumanji/Snake-v1", time_limit=2), jumanji.make("Snake-v1", time_limit=2)

    def play(key):
        """Moves to the right twice, which the left half of the board allows."""
        state, _ = environment.reset(key=key)
        raw, _ = theirs.reset(raw_key(key))
        for _ in range(2):
            state, step = environment.step(state, jnp.array(1), key=key)
            raw, timestep = theirs.step(raw, jnp.array(1))
        return step.terminated, step.truncated, timestep.discount, raw.head_position.col

    ends, cuts, discounts, columns = map(np.asarray, fast_jit(jax.vmap(play))(jax.random.split(jax.random.key(0), 16)))
    assert (discounts == 0).all()  # jumanji calls the end of time a terminal state
    assert cuts.all()
    assert not ends[columns < 12].any()
    assert (columns < 12).any()


def test_action_mask_of_jumanji_stands_beside_the_rest(made):
    spaces = made("jumanji", "jumanji/Snake-v1", {"time_limit": 4}).spaces
    seen, mask = Masked.of(spaces.observation)
    assert mask.shape == (4,)
    assert set(seen) >= {"grid", "step_count"}
    assert seen["grid"].shape == (12, 12, 5)
    assert seen["step_count"].n == 5  # of 4 steps, and none


def test_mask_of_joint_actions_stays_a_field():
    pytest.importorskip("jumanji")
    space = envs.make("jumanji/Minesweeper-v0").spaces.observation
    assert space["action_mask"].shape == (10, 10)
    assert Masked.of(space).action_mask is None


def test_snake_without_a_way_out_may_go_anywhere(made):
    environment = made("jumanji", "jumanji/Snake-v1", {"time_limit": 4})
    space, env = environment.spaces, environment._fixed.env
    _, timestep = env.reset(raw_key(jax.random.key(0)))
    stuck = timestep.observation._replace(action_mask=jnp.zeros(4, bool))
    assert _jumanji._shown(space, stuck)["action_mask"].all()
    free = timestep.observation._replace(action_mask=jnp.arange(4) == 2)
    np.testing.assert_array_equal(_jumanji._shown(space, free)["action_mask"], [0, 0, 1, 0])


def test_several_agents_are_refused():
    pytest.importorskip("jumanji")
    with pytest.raises(TypeError, match=r"Connector: the reward of one step has shape \(10,\)"):
        envs.make("jumanji/Connector-v3")


def test_episode_length_is_at_least_one():
    pytest.importorskip("brax")
    with pytest.raises(ValueError, match="episode_length must be at least 1; got 0"):
        envs.make("brax/fast", episode_length=0)


def test_robots_that_cannot_be_fetched_say_so(monkeypatch):
    pytest.importorskip("mujoco_playground")
    from mujoco_playground import registry

    def refuse(*args, **kwargs):
        raise ConnectionError("no git here")

    monkeypatch.setattr(registry, "load", refuse)
    with pytest.raises(RuntimeError, match=r"clones with git.*no git here"):
        envs.make("playground/Go1JoystickFlatTerrain")


@pytest.mark.parametrize(
    ("package", "name"),
    [("xminigrid", "xminigrid/MiniGrid-Empty-5x5"), ("jumanji", "jumanji/Snake-v1"), ("jumanji", "jumanji/Maze-v0")],
)
def test_pictures(package, name):
    pytest.importorskip(package)
    environment = envs.make(name)
    states = [environment.reset(key=jax.random.key(seed))[0] for seed in range(2)]
    frames = environment.frames(states)
    assert [frame.dtype for frame in frames] == [np.uint8] * 2
    assert frames[0].shape == (*frames[0].shape[:2], 3)


@pytest.mark.slow
def test_page_of_brax():
    pytest.importorskip("brax")
    environment = envs.make("brax/inverted_pendulum")
    state, _ = fast_jit(lambda key: environment.reset(key=key))(jax.random.key(0))
    assert "<html" in environment.html([state, state])


def test_bodiless_brax_has_no_page(made):
    with pytest.raises(TypeError, match="has no bodies to draw"):
        made("brax", "brax/fast", {"episode_length": 4}).html([])
