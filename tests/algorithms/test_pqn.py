"""PQN: λ-returns of the best action against plain Python, and how it explores."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

from bellmax._core import Spaces
from bellmax.algorithms import PQN, Batch
from training import laws

TRANSITION = laws._connected(laws.rollout())
TABLE = np.random.default_rng(5).normal(size=(laws.FEATURES, laws.ACTIONS)).astype(np.float32)
SETTINGS = dict(rollout_length=8, discount=0.9, trace_lambda=0.7, epochs=2, minibatches=2)


def table_state(pqn):
    spaces = Spaces(kinds.Box(-1.0, 1.0, (laws.FEATURES,), np.float32), kinds.Discrete(laws.ACTIONS))
    table = laws.Table(jnp.asarray(TABLE))
    return dataclasses.replace(pqn, network=lambda spaces, key: table).init(spaces, key=jax.random.key(0))


@laws.fast_jit
def run(transition, rate=1e-2):
    """Updates a table once; returns the targets, the state after and the metrics."""
    pqn = PQN(**SETTINGS, learning_rate=rate)
    state, batch = table_state(pqn), Batch(transition)
    after, metrics, _ = pqn.update(state, batch, step=jnp.zeros(()), key=jax.random.key(0))
    return pqn._targets(state.model, batch), after, metrics


def targets_by_hand():
    t, targets = laws.host(TRANSITION), np.zeros((8, 4))
    for lane in range(4):
        for now in reversed(range(8)):
            best = (t.next_observation[now, lane].astype(np.float64) @ TABLE).max()
            ended = t.terminated[now, lane] or t.truncated[now, lane] or now == 7
            later = best if ended else 0.3 * best + 0.7 * targets[now + 1, lane]
            targets[now, lane] = t.reward[now, lane] + (0.0 if t.terminated[now, lane] else 0.9 * later)
    return targets


def test_targets_by_hand():
    targets, _, _ = run(TRANSITION)
    np.testing.assert_allclose(np.asarray(targets).reshape(8, 4), targets_by_hand(), atol=2e-5)


def test_loss_is_half_the_squared_error_of_the_action_taken():
    # At a rate of zero every minibatch sees the same table.
    _, after, metrics = run(TRANSITION, 0.0)
    np.testing.assert_array_equal(after.model.values, TABLE)
    q = np.asarray(TRANSITION.observation, np.float64) @ TABLE
    taken = np.take_along_axis(q, np.asarray(TRANSITION.action)[..., None], -1)[..., 0]
    np.testing.assert_allclose(metrics["loss"], 0.5 * np.mean((targets_by_hand() - taken) ** 2), rtol=1e-4)
    np.testing.assert_allclose(metrics["q"], q.max(-1).mean(), rtol=1e-4)


def test_only_the_action_taken_moves():
    only_first = dataclasses.replace(TRANSITION, action=jnp.zeros_like(TRANSITION.action))
    _, after, _ = run(only_first)
    moved = np.asarray(after.model.values) != TABLE
    np.testing.assert_array_equal(moved, np.tile([True, False], (laws.FEATURES, 1)))


def test_explores_by_epsilon_and_is_evaluated_greedily():
    pqn = PQN(**SETTINGS, epsilon=lambda step: jnp.where(step < 100, 1.0, 0.2))
    state, observation = table_state(pqn), jnp.eye(3)[0]
    best = int(TABLE[0].argmax())

    def act(keys, step, explore):
        one = lambda key: pqn.act(state, observation, None, step=step, key=key, explore=explore)[0]  # noqa: E731
        return jax.vmap(one)(keys)

    act = laws.fast_jit(act, static_argnums=2)
    keys = jax.random.split(jax.random.key(0), 4000)
    for step, wanted in ((99.0, 0.5), (100.0, 0.1)):
        share = np.mean(np.asarray(act(keys, jnp.array(step), True)) != best)
        assert abs(share - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 4000)
    assert (np.asarray(act(keys, jnp.array(0.0), False)) == best).all()


@pytest.mark.parametrize("layer_norm", [True, False])
def test_default_network_is_normalised_on_request(layer_norm):
    pqn = PQN(hidden_sizes=(4, 5), layer_norm=layer_norm)
    spaces = Spaces(kinds.Box(-1.0, 1.0, (3,), np.float32), kinds.Discrete(2))
    state = eqx.filter_eval_shape(lambda key: pqn.init(spaces, key=key), jax.random.key(0))
    assert [norm.shape for norm in state.model.norms] == ([(4,), (5,)] if layer_norm else [])


def test_forbidden_actions_are_neither_taken_nor_bootstrapped_from():
    mask = jnp.array([1, 0], jnp.int8)
    pqn = PQN(rollout_length=1, epochs=1, minibatches=1, discount=0.5, network=None, hidden_sizes=(2,), epsilon=1.0)
    space = kinds.Dict({"observation": kinds.Box(-1.0, 1.0, (3,), np.float32), "action_mask": kinds.MultiBinary(2)})
    state = laws.fast_jit(lambda key: pqn.init(Spaces(space, kinds.Discrete(2)), key=key))(jax.random.key(0))
    seen = {"observation": jnp.ones(3), "action_mask": mask}
    keys = jax.random.split(jax.random.key(1), 64)
    act = jax.vmap(lambda key: pqn.act(state, seen, None, step=jnp.zeros(()), key=key)[0])
    assert not np.asarray(laws.fast_jit(act)(keys)).any()
    many = jax.tree.map(lambda leaf: leaf[None, None], seen)
    no, zero = jnp.zeros((1, 1), bool), jnp.zeros((1, 1))
    transition = dataclasses.replace(
        laws.rollout(1, 1, ends=False),
        observation=many,
        next_observation=many,
        reward=zero,
        terminated=no,
        truncated=no,
    )
    wanted = 0.5 * state.model(seen)[0]
    np.testing.assert_allclose(pqn._targets(state.model, Batch(transition))[0], wanted, rtol=1e-5)
