"""What is done with an agent after training."""

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bellmax import algorithms, envs, training
from bellmax.experiment import Agent, Configuration, HostTrainer, UsageError, export_policy, main
from bellmax.experiment._folder import seed_keys
from training import laws

PPO = algorithms.PPO(hidden_sizes=(4,), rollout_length=4)
KINDS = {
    "ppo": (PPO, envs.Chain(length=3)),
    "squashed": (algorithms.SAC(hidden_sizes=(4,)), envs.make("Pendulum-v1")),
    "recurrent": (algorithms.RecurrentPPO(hidden_sizes=(4,), rollout_length=4), envs.Recall()),
}


def agent_of(name, seeds=2):
    """An agent as it is before the first update."""
    algorithm, environment = KINDS[name]
    trainer = training.Trainer(algorithm, environment, 4)
    configuration = Configuration(name, "toy", 1, 4, seeds, 0, {})
    keys = seed_keys(configuration)
    state = laws.fast_jit(lambda keys: jax.vmap(trainer.learner.init)(keys, keys).algorithm)(keys)
    return Agent(configuration, trainer, state, 64)


@pytest.fixture(scope="module", params=KINDS)
def agent(request):
    return agent_of(request.param)


def observations(agent, count=5):
    return observations_of(agent.spaces.observation, count)


def observations_of(space, count):
    space.seed(0)
    return jax.tree.map(lambda *rows: np.stack(rows), *[space.sample() for _ in range(count)])


def test_a_policy_is_one_seed(agent):
    """A call is the algorithm's own `act` with that seed's state, and the bounds of the environment."""
    observation, memory = jax.tree.map(lambda leaf: leaf[0], observations(agent)), agent.policy().initial_memory
    for seed in range(2):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed] if eqx.is_array(leaf) else leaf, agent.state)
        action, new = agent.policy(seed)(observation)
        expected, _, wanted = agent.trainer.algorithm.act(
            state, observation, memory, step=jnp.array(64.0), key=jax.random.key(0), explore=False
        )
        assert jax.tree.all(jax.tree.map(np.array_equal, (action, new), (expected, wanted)))
        assert agent.trainer.environment.spaces.action.contains(np.asarray(action))
    with pytest.raises(UsageError, match="the run has seeds 0 to 1; got 2"):
        agent.policy(2)


def test_a_policy_is_a_pytree(agent):
    """It maps over observations, stacks with the policies of other seeds and goes through a filtered jit."""
    rows = observations(agent)
    one = agent.policy(1)
    alone = [one(jax.tree.map(lambda leaf, i=i: leaf[i], rows))[0] for i in range(5)]
    together = eqx.filter_jit(jax.vmap(lambda policy, row: policy(row)[0], (None, 0)))(one, rows)
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-5, atol=1e-6)
    both = jax.tree.map(
        lambda *leaves: jnp.stack(leaves) if eqx.is_array(leaves[0]) else leaves[0], agent.policy(0), one
    )
    mapped = eqx.filter_vmap(lambda policy: policy(jax.tree.map(lambda leaf: leaf[0], rows))[0])(both)
    np.testing.assert_allclose(mapped[1], alone[0], rtol=1e-5, atol=1e-6)


def test_exploration_needs_a_key_and_uses_it(agent):
    observation, policy = jax.tree.map(lambda leaf: leaf[0], observations(agent)), agent.policy()
    with pytest.raises(ValueError, match="needs a key"):
        policy(observation, explore=True)
    keys = jax.random.split(jax.random.key(1), 32)
    actions = jax.vmap(lambda key: policy(observation, key=key, explore=True)[0])(keys)
    assert np.ptp(np.asarray(actions, float), axis=0).max() > 0
    assert policy(observation)[0] == policy(observation, key=keys[0])[0]


def test_memory_is_carried():
    policy = agent_of("recurrent").policy()
    observation = np.asarray(policy.algorithm and KINDS["recurrent"][1].spaces.observation.sample())
    _, memory = policy(observation)
    _, later = policy(observation, memory)
    assert not any(map(np.array_equal, jax.tree.leaves(memory), jax.tree.leaves(later)))
    again = policy(observation, policy.initial_memory)[1]
    assert all(map(np.array_equal, jax.tree.leaves(memory), jax.tree.leaves(again)))


@pytest.mark.parametrize("explore", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_exported_policy_agrees_without_bellmax(agent, explore, tmp_path):
    """What `jax.export` reads back gives the actions of the policy, for any number of observations."""
    policy, spaces, path = agent.policy(1), agent.spaces, tmp_path / "policy.jax"
    export_policy(policy, spaces, path, explore=explore)
    call = jax.export.deserialize(bytearray(path.read_bytes())).call
    for count in (1, 5):
        rows = jax.tree.map(lambda leaf, count=count: leaf[:count], observations(agent))
        memory = jax.tree.map(lambda leaf, count=count: jnp.stack([leaf + 0.5] * count), policy.initial_memory)
        seeds = jnp.arange(count, dtype=jnp.uint32) + 7

        def act(row, memory, seed):
            return policy(row, memory, key=jax.random.key(seed) if explore else None, explore=explore)

        wanted = jax.vmap(act)(rows, memory, seeds)
        got = call(rows, *([] if memory is None else [memory]), *([seeds] if explore else []))
        wanted = wanted[0] if memory is None else wanted
        for one, other in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_stablehlo_is_text(tmp_path):
    agent = agent_of("ppo")
    export_policy(agent.policy(), agent.spaces, tmp_path / "policy.mlir")
    text = (tmp_path / "policy.mlir").read_text()
    assert "stablehlo." in text
    assert "func.func public @main" in text


def test_a_file_that_disagrees_is_not_written(tmp_path, monkeypatch):
    """The comparison is made with what was read back, before anything is left."""
    from bellmax.experiment import _export

    agent, path = agent_of("ppo"), tmp_path / "policy.jax"
    real = jax.export.deserialize

    class Wrong:
        def __init__(self, exported):
            self.call = lambda *rows: real(exported).call(*rows) + 1

    monkeypatch.setattr(_export.export, "deserialize", Wrong)
    with pytest.raises(UsageError, match="differs"):
        export_policy(agent.policy(), agent.spaces, path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["export"], "export needs one run folder; got 0"),
        (["export", "/nowhere"], "/nowhere is not a run folder"),
        (["export", "/nowhere", "--out", "policy.pt"], "--out must end in .jax or .mlir; got policy.pt"),
    ],
)
def test_wrong_exports_say_what_is_wrong(words, expected, capsys):
    assert main(words) == 2
    assert expected in capsys.readouterr().err


def test_the_command_exports_a_run(tmp_path, capsys, monkeypatch):
    from bellmax.experiment import _command_export as command

    agent, path = agent_of("ppo"), tmp_path / "deep" / "policy.jax"
    monkeypatch.setattr(command, "load_agent", lambda run: agent)
    assert main(["export", "a-run", "--out", str(path), "--seed", "1"]) == 0
    assert str(path) in capsys.readouterr().out
    call = jax.export.deserialize(bytearray(path.read_bytes())).call
    rows = observations(agent)
    np.testing.assert_array_equal(call(rows), jax.vmap(lambda row: agent.policy(1)(row)[0])(rows))
    assert main(["export", "a-run", "--seed", "2", "--out", str(path)]) == 2
    assert "the run has seeds 0 to 1; got 2" in capsys.readouterr().err


def test_a_policy_acts_outside_jax():
    """A policy of a Gymnasium environment plays an episode of it, two lines and a loop."""
    environment = gymnasium.make("CartPole-v1")
    trainer = training.Trainer(PPO, envs.make("CartPole-v1"), 4)
    key = jax.random.key(0)
    state = laws.fast_jit(lambda keys: jax.vmap(trainer.learner.init)(keys, keys).algorithm)(key[None])
    policy = Agent(Configuration("ppo", "CartPole-v1", 1, 4, 1, 0, {}), trainer, state, 1).policy()
    act, memory = eqx.filter_jit(policy), None
    observation, _ = environment.reset(seed=0)
    for _ in range(500):
        action, memory = act(observation, memory)
        observation, _, terminated, truncated, _ = environment.step(np.asarray(action).item())
        if terminated or truncated:
            break
    assert terminated or truncated


class Shifted(gymnasium.Env):
    """Sees and takes whole numbers that begin elsewhere."""

    observation_space = gymnasium.spaces.Dict(
        {"place": gymnasium.spaces.Discrete(3, start=5), "rest": gymnasium.spaces.Box(-1, 1, (2,), np.float64)}
    )
    action_space = gymnasium.spaces.MultiDiscrete([3, 2], start=[1, 5])

    def reset(self, **settings):
        super().reset(**settings)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 0.0, False, False, {}


def test_a_policy_speaks_as_its_environment_does(tmp_path):
    """Trained on numbers from zero, it takes and gives those of the environment outside JAX, exported too."""
    trainer = HostTrainer(PPO, envs.GymnasiumEnvironment.of(Shifted), 4)
    keys = jax.random.key(0)[None]
    state = laws.fast_jit(lambda keys: jax.vmap(trainer.learner.init)(keys, keys).algorithm)(keys)
    agent = Agent(Configuration("ppo", "gymnasium/Shifted-v0", 1, 4, 1, 0, {}), trainer, state, 1)
    policy, inside = agent.policy(), agent.trainer.environment.spaces
    assert agent.spaces.action == Shifted.action_space
    rows = observations_of(Shifted.observation_space, 8)
    actions = jax.vmap(lambda row, key: policy(row, key=key, explore=True)[0])(rows, jax.random.split(keys[0], 8))
    assert all(map(Shifted.action_space.contains, np.asarray(actions, np.int64)))
    assert not inside.action.contains(np.asarray(actions[0], np.int64))
    one = {name: leaf[0] for name, leaf in rows.items()}
    seen = one | {"place": one["place"] - 5}
    alone = trainer.algorithm.act(
        jax.tree.map(lambda leaf: leaf[0] if eqx.is_array(leaf) else leaf, state),
        seen, None, step=jnp.array(1.0), key=keys[0], explore=False,
    )[0]  # fmt: skip
    np.testing.assert_array_equal(policy(one)[0], alone + np.array([1, 5]))
    export_policy(policy, agent.spaces, tmp_path / "policy.jax")
    call = jax.export.deserialize(bytearray((tmp_path / "policy.jax").read_bytes())).call
    small = jax.tree.map(lambda leaf: leaf.astype(np.int32 if leaf.dtype == np.int64 else np.float32), rows)
    np.testing.assert_array_equal(call(small)[0], policy(one)[0])
