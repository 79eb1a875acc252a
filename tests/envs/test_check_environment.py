"""The check of an environment passes what is right and finds each mistake that is planted into a right one."""

import dataclasses
import functools
import itertools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax import envs
from bellmax.envs import HostStep, Spaces
from bellmax.envs._checks import _host, _rollout
from bellmax.envs._checks._spaces import excess, misfit, sample
from envs.chains import GymnasiumChain

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def compile_fast(monkeypatch):
    options = {"xla_backend_optimization_level": 0}
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=options))


SLOW = ["toy/bandit", "toy/recall", "CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"]
RARE = {
    "NumPy randomness",
    "callback to Python",
    "NaN at last",
    "gives its own first observation",
    "outside its space",
    "resets itself",
}


def findings(environment, steps=60):
    report = envs.check_environment(environment, key=KEY, steps=steps)
    return report, {finding.check: finding for finding in report.findings}


@pytest.mark.parametrize("name", ["toy/chain", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_right_environments_pass(name):
    report, by_name = findings(envs.make(name), steps=210 if name == "Pendulum-v1" else 100)
    assert report.passed, str(report)
    assert {finding.outcome for finding in report.findings} <= {"passed", "warning", "not applicable"}
    constant = {check for check, finding in by_name.items() if finding.outcome == "warning"}
    assert constant == ({"randomness"} if name == "toy/bandit" else set())


class Walk(envs.AbstractEnvironment):
    """A right environment: a walk on a line that ends beyond a wall or at step 8. Subclasses plant one mistake each."""

    wall: float = 2.0

    @property
    def spaces(self):
        return Spaces(kinds.Box(-4.0, 4.0, (1,), np.float32), kinds.Box(-1.0, 1.0, (), np.float32))

    def reset(self, *, key):
        return self.begin(jax.random.uniform(key, (), float, -0.1, 0.1))

    def begin(self, position):
        return {"position": position, "time": jnp.zeros((), jnp.int32)}, position[None]

    def step(self, state, action, *, key):
        position = state["position"] + action + 0.1 * jax.random.normal(key, ())
        state = {"position": position, "time": state["time"] + 1}
        terminated, truncated = jnp.abs(position) > self.wall, state["time"] >= 8
        return state, envs.Step(jnp.clip(position, -4, 4)[None], position, terminated, truncated)


def autoreset(self, state, step, key, state_too=True, observation_too=True):
    """Begins a new episode inside the step that ends one, as the environments of many packages do."""
    first, observation = self.reset(key=jax.random.split(key)[1])
    ended = step.terminated | step.truncated
    if state_too:
        state = jax.tree.map(lambda new, old: jnp.where(ended, new, old), first, state)
    if observation_too:
        step = dataclasses.replace(step, observation=jnp.where(ended, observation, step.observation))
    return state, step


count = itertools.count()
MISTAKES = {
    "weak type": ("types", "time"),
    "other structure": ("types", "structure"),
    "observation of another type": ("reset", "int32"),
    "observation of another shape": ("step", "its space says"),
    "done as a number": ("step", "terminated is"),
    "reward with an axis": ("step", "reward is"),
    "space of its own": ("spaces", "expected one of gymnasium.spaces"),
    "Python counter": ("purity", "two different programs"),
    "NumPy randomness": ("purity", "two different programs"),
    "callback to Python": ("determinism", "two results"),
    "resets itself": ("no reset of its own", "resets itself"),
    "gives the next first observation": ("true final observation", "jax.random.split(key, ...)[1]"),
    "gives its own first observation": ("true final observation", "equals the first one of its episode"),
    "NaN at last": ("rollout", "not finite, first at step"),
    "outside its space": ("bounds", "outside its space"),
    "branches in Python": ("step", "TracerBoolConversionError"),
}


def planted(mistake):
    class Wrong(Walk):
        if mistake == "space of its own":

            @property
            def spaces(self):
                return Spaces((1,), super().spaces.action)

        def begin(self, position):
            state, observation = super().begin(position)
            if mistake == "weak type":
                state["time"] = 0
            if mistake == "observation of another type":
                observation = jnp.round(observation).astype(jnp.int32)
            if mistake == "gives its own first observation":
                state["first"] = observation
            return state, observation

        def step(self, state, action, *, key):
            first = state.get("first")
            if mistake == "branches in Python" and state["position"] > 0:
                pass
            state, step = super().step(state, action, key=key)
            ended = step.terminated | step.truncated
            match mistake:
                case "other structure":
                    state["more"] = action
                case "observation of another shape":
                    step = dataclasses.replace(step, observation=step.observation[0])
                case "done as a number":
                    step = dataclasses.replace(step, terminated=step.terminated.astype(float))
                case "reward with an axis":
                    step = dataclasses.replace(step, reward=step.reward[None])
                case "Python counter":
                    step = dataclasses.replace(step, reward=step.reward + next(count))
                case "NumPy randomness":
                    step = dataclasses.replace(step, reward=step.reward + np.random.normal())  # noqa: NPY002
                case "callback to Python":
                    kind = jax.ShapeDtypeStruct((), jnp.float32)
                    noise = jax.pure_callback(lambda: np.float32(next(count)), kind, vmap_method="sequential")
                    step = dataclasses.replace(step, reward=step.reward + noise)
                case "resets itself":
                    state, step = autoreset(self, state, step, key, observation_too=False)
                case "gives the next first observation":
                    state, step = autoreset(self, state, step, key, state_too=False)
                case "gives its own first observation":
                    state["first"] = first
                    step = dataclasses.replace(step, observation=jnp.where(ended, first, step.observation))
                case "NaN at last":
                    step = dataclasses.replace(step, reward=jnp.where(state["time"] > 7, jnp.nan, step.reward))
                case "outside its space":
                    step = dataclasses.replace(step, observation=step.observation * 3)
            return state, step

    return Wrong()


def test_the_walk_is_right():
    report, by_name = findings(Walk())
    assert all(finding.outcome == "passed" for finding in report.findings), str(report)
    assert "both at once" in by_name["episodes end"].detail


@pytest.mark.parametrize(
    "mistake", [pytest.param(name, marks=pytest.mark.slow) if name in RARE else name for name in MISTAKES]
)
def test_planted_mistake_is_found_where_it_belongs(mistake):
    report, by_name = findings(planted(mistake))
    check, words = MISTAKES[mistake]
    assert not report.passed
    assert by_name[check].outcome == "failed", str(report)
    assert words in by_name[check].detail
    # What stands before it holds; what needs it waits.
    names = list(by_name)
    before = [by_name[name].outcome for name in names[: names.index(check)]]
    assert set(before) <= {"passed"} or mistake == "callback to Python", str(report)


@pytest.mark.slow
@pytest.mark.parametrize("wide", [pytest.param(False, marks=pytest.mark.slow), True])
def test_reset_of_all_at_once_is_found_even_where_any_observation_may_be_a_first_one(wide):
    class Wrong(Walk):
        def begin(self, position):
            return super().begin(position * (30 if wide else 1))

        def step(self, state, action, *, key):
            return autoreset(self, *super().step(state, action, key=key), key)

    _, by_name = findings(Wrong(wall=3.9))
    assert by_name["true final observation"].outcome == "failed"
    assert by_name["no reset of its own"].outcome == "failed"


def test_endless_and_constant_are_warnings():
    class Endless(Walk):
        def reset(self, *, key):
            return self.begin(jnp.zeros(()))

        def step(self, state, action, *, key):
            state, step = super().step(state, 0 * action, key=key)
            never = jnp.array(False)
            return state, dataclasses.replace(step, terminated=never, truncated=never)

    report, by_name = findings(Endless())
    assert report.passed
    assert by_name["randomness"].outcome == by_name["episodes end"].outcome == "warning"
    assert "no episode ended within 60 steps" in by_name["episodes end"].detail
    assert by_name["true final observation"].outcome == "not applicable"


PARTS = {
    "box": kinds.Box(np.array([-np.inf, 0.0], np.float32), np.array([1.0, np.inf], np.float32)),
    "pair": kinds.Tuple((kinds.Discrete(3, start=2), kinds.MultiBinary(4))),
    "many": kinds.MultiDiscrete([2, 5]),
    "bytes": kinds.Box(0, 255, (2, 2), np.uint8),
}


def test_samples_fill_a_space_and_what_is_beyond_it_is_seen():
    space = kinds.Dict(PARTS)
    draws = jax.jit(jax.vmap(lambda key: sample(space, key)))(jax.random.split(KEY, 200))
    beyond = jax.jit(jax.vmap(lambda value: excess(space, value)))
    assert float(beyond(draws).max()) == 0
    assert set(np.asarray(draws["pair"][0])) == {2, 3, 4}
    assert set(np.asarray(draws["many"])[:, 1]) == {0, 1, 2, 3, 4}
    assert set(np.asarray(draws["pair"][1]).ravel()) == {0, 1}
    assert np.asarray(draws["bytes"]).max() > 250
    number, bits = draws["pair"]
    for other in ({"box": draws["box"] + 3}, {"pair": (number + 3, bits)}, {"many": draws["many"] + 5}):
        assert float(beyond(draws | other).min()) > 0, other.keys()
    one = jax.tree.map(lambda leaf: leaf[0], draws)
    assert misfit(space, one, "it") is None
    assert "it has ['box']" in (misfit(space, {"box": one["box"]}, "it") or "")
    assert misfit(space, one | {"pair": one["pair"][:1]}, "it") == "it['pair'] is a tuple; its space is a Tuple of 2"
    assert misfit(space, one | {"bytes": one["box"]}, "it") == "it['bytes'] is float32[2]; its space says uint8[2, 2]"


@pytest.mark.slow
def test_spaces_of_every_kind_are_sampled_and_checked():
    parts = PARTS

    class Echo(envs.AbstractEnvironment):
        """Shows the action."""

        @property
        def spaces(self):
            return Spaces(kinds.Dict(parts), kinds.Dict(parts))

        def reset(self, *, key):
            return (), {
                "box": jnp.zeros(2),
                "pair": (jnp.array(2, jnp.int32), jnp.zeros(4, jnp.int8)),
                "many": jnp.zeros(2, int),
                "bytes": jnp.zeros((2, 2), jnp.uint8),
            }

        def step(self, state, action, *, key):
            end = jax.random.bernoulli(key, 0.2)
            return state, envs.Step(action, jnp.zeros(()), end, jnp.array(False))

    report, by_name = findings(Echo())
    assert by_name["bounds"].outcome == by_name["step"].outcome == "passed", str(report)
    assert report.passed, str(report)


def test_report_is_read_by_people_and_programs():
    report, _ = findings(planted("done as a number"))
    lines = str(report).splitlines()
    assert "Wrong(" in lines[0]
    assert "1 failed" in lines[0]
    assert any(line.startswith("failed") and "expected a boolean scalar" in line for line in lines)
    assert sum(line.startswith("not applicable") for line in lines) == len(report.findings) - 3
    assert dataclasses.asdict(report)["findings"][2]["outcome"] == "failed"


def test_what_is_no_environment_is_refused():
    with pytest.raises(TypeError, match="expected an AbstractEnvironment or an AbstractHostEnvironment; got a str"):
        envs.check_environment("CartPole-v1", key=KEY)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        envs.check_environment(envs.Chain(), key=KEY, steps=0)


# ------------------------------------------------------------------------------------------------ outside JAX


class Wiener(gymnasium.Env):
    """A random walk that ends at step 6, or beyond 1."""

    observation_space = kinds.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = kinds.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.time = self.np_random.normal(scale=0.1, size=2).astype(np.float32), 0
        return self.state, {}

    def step(self, action):
        self.state = self.state + 0.3 * self.np_random.normal(size=2).astype(np.float32) + 0.1 * (action - 1)
        self.time += 1
        return self.state, float(self.state[0]), bool(self.state[0] > 1), self.time >= 6, {}


class Lanes(envs.AbstractHostVectorEnv):
    """Right lanes, with one mistake planted."""

    def __init__(self, inner, mistake):
        self.inner, self.mistake = inner, mistake
        self.spaces, self.num_envs = inner.spaces, inner.num_envs
        self.buffer = None

    def reset(self, *, seed):
        match self.mistake:
            case "ignores its seed":
                seed = next(count)
            case "seeds all lanes alike":
                seed = [seed] * self.num_envs
        return self.inner.reset(seed=seed)

    def step(self, action):
        step = self.inner.step(action)
        ended = (step.terminated | step.truncated)[:, None]
        match self.mistake:
            case "one buffer":
                self.buffer = np.empty_like(step.observation) if self.buffer is None else self.buffer
                self.buffer[:] = step.observation
                step = step._replace(observation=self.buffer)
            case "gives the reset observation":
                step = step._replace(observation=step.start)
            case "shows the old end":
                step = step._replace(start=step.observation)
            case "starts anew at all times":
                step = step._replace(start=np.where(ended, step.start, step.observation + 1))
            case "flags as numbers":
                step = step._replace(terminated=step.terminated.astype(float))
            case "float64":
                step = step._replace(observation=step.observation.astype(np.float64))
            case "NaN":
                step = step._replace(reward=np.where(step.truncated, np.nan, step.reward).astype(np.float32))
            case "a tuple":
                step = tuple(step)
        return step

    def close(self):
        self.inner.close()


class HostWrong(envs.AbstractHostEnvironment):
    def __init__(self, mistake):
        self.mistake, self.inner = mistake, envs.GymnasiumEnvironment.of(Wiener)
        self.spaces = self.inner.spaces

    def start(self, num_envs):
        return Lanes(self.inner.start(num_envs), self.mistake)


HOST_MISTAKES = {
    "ignores its seed": ("seeds", "the same seed and actions gave other numbers"),
    "seeds all lanes alike": ("seeds", "all lanes begin with the same observation"),
    "one buffer": ("arrays not reused", "changed when later steps were taken"),
    "gives the reset observation": ("true final observation", "equals the next episode's first at 100%"),
    "shows the old end": ("true final observation", "equals the next episode's first at 100%"),
    "starts anew at all times": ("true final observation", "`start` is not `observation`"),
    "flags as numbers": ("step", "terminated is float64[4]; expected booleans"),
    "float64": ("step", "its space says float32"),
    "NaN": ("numbers", "not finite, first at step 6"),
    "a tuple": ("step", "expected a HostStep"),
}


@pytest.mark.parametrize("mistake", HOST_MISTAKES)
def test_planted_mistake_outside_jax_is_found(mistake):
    report, by_name = findings(HostWrong(mistake), steps=40)
    check, words = HOST_MISTAKES[mistake]
    assert not report.passed
    assert by_name[check].outcome == "failed", str(report)
    assert words in by_name[check].detail


@pytest.mark.parametrize("factory", [Wiener, functools.partial(GymnasiumChain, time_limit=3)])
def test_right_environments_outside_jax_pass(factory):
    report, _ = findings(envs.GymnasiumEnvironment.of(factory), steps=60)
    assert all(finding.outcome == "passed" for finding in report.findings), str(report)


class Few(gymnasium.Env):
    """Shows one of two numbers, drawn at each reset unless there is but one; ends after some steps."""

    observation_space = kinds.Box(0.0, 9.0, (1,), np.float32)
    action_space = kinds.Discrete(2)

    def __init__(self, firsts=1, length=1, moves=0):
        self.firsts, self.length, self.moves = firsts, length, moves

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.time = np.full(1, self.np_random.integers(self.firsts), np.float32), 0
        return self.state, {}

    def step(self, action):
        self.time += 1
        return self.state + self.moves * self.time, 0.0, self.time >= self.length, False, {}


class Restarting(Lanes):
    """Gives the first observation of the next episode at an end."""

    def __init__(self, inner):
        super().__init__(inner, "gives the reset observation")


def host_findings(factory, lanes=lambda inner: inner):
    right = envs.GymnasiumEnvironment.of(factory)

    class Host(envs.AbstractHostEnvironment):
        spaces = right.spaces

        def start(self, num_envs):
            return lanes(right.start(num_envs))

    return findings(Host(), steps=20)[1]


@pytest.mark.parametrize("length", [1, 3])
def test_constant_observation_outside_jax_is_no_mistake(length):
    by_name = host_findings(functools.partial(Few, length=length))
    assert by_name["true final observation"].outcome == "not applicable"


def test_one_first_observation_does_not_hide_a_reset_observation():
    factory = functools.partial(Few, length=3, moves=1)
    right, wrong = host_findings(factory), host_findings(factory, Restarting)
    assert right["true final observation"].outcome == "passed"
    assert wrong["true final observation"].outcome == "failed"


def test_observation_that_is_almost_constant_is_a_warning():
    class Blink(Few):
        def step(self, action):
            state, *rest = super().step(action)
            return state + (self.time == 1), *rest

    by_name = host_findings(functools.partial(Blink, length=15))
    finding = by_name["true final observation"]
    assert finding.outcome == "warning"
    assert "93% of the other steps" in finding.detail


def test_two_first_observations_are_enough_for_seeds():
    # Four lanes are alike by chance for one seed in eight.
    environment = envs.GymnasiumEnvironment.of(functools.partial(Few, firsts=2, moves=1))
    found = [_host.check_seeds(_host.HostSubject(environment, seed, 2)) for seed in range(64)]
    assert all(isinstance(each, str) for each in found), found


class Forbidding(gymnasium.Env):
    """Allows one action at a time, the next by its clock, and raises at any other."""

    observation_space = kinds.Dict({"observation": kinds.Discrete(20), "action_mask": kinds.MultiBinary(3)})
    action_space = kinds.Discrete(3)

    def show(self):
        return {"observation": self.time, "action_mask": (np.arange(3) == self.time % 3).astype(np.int8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = int(self.np_random.integers(3))
        return self.show(), {}

    def step(self, action):
        if action != self.time % 3:
            raise ValueError("illegal")
        self.time += 1
        return self.show(), 0.0, self.time >= 10, False, {}


def test_actions_outside_jax_are_legal_ones():
    by_name = host_findings(Forbidding)
    assert {finding.outcome for check, finding in by_name.items() if check != "pickles"} == {"passed"}


def test_randomness_of_a_random_rollout_is_used_once(monkeypatch):
    keys = {}
    real = {name: getattr(_rollout, name) for name in ("sample", "_legal")}

    def spy(name):
        def call(*args):
            keys[name] = args[-1]
            return real[name](*args)

        return call

    for name in real:
        monkeypatch.setattr(_rollout, name, spy(name))
    chain = envs.Chain()
    starts = jax.vmap(lambda key: chain.reset(key=key))(jax.random.split(KEY, _rollout.LANES))
    _rollout.roll_out(chain, starts, steps=2, key=KEY)
    assert keys["sample"] is not keys["_legal"]


@pytest.mark.parametrize("mode", list(gymnasium.vector.AutoresetMode))
def test_every_mode_of_automatic_reset_passes(mode):
    class Vector(envs.AbstractHostEnvironment):
        spaces = envs.GymnasiumEnvironment.of(Wiener).spaces

        def start(self, num_envs):
            vector = gymnasium.vector.SyncVectorEnv([Wiener] * num_envs, autoreset_mode=mode)
            return envs.GymnasiumVectorEnv(vector)

    report, by_name = findings(Vector(), steps=40)
    assert by_name["pickles"].outcome == "warning"
    assert report.passed, str(report)


def test_host_step_is_the_protocol():
    assert HostStep._fields == ("observation", "reward", "terminated", "truncated", "start", "valid")
