"""Deep Q-learning and its relatives: losses against loops, and what each choice does."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces as kinds

import faults
from bellmax import networks
from bellmax._core import Spaces, example
from bellmax.algorithms import C51, DQN, IQN, QRDQN, Batch, OffPolicy, Rainbow
from training import laws

OBSERVATION = kinds.Box(0.0, 1.0, (3,), np.float32)
SPACES = Spaces(OBSERVATION, kinds.Discrete(2))
PLAIN = dict(dueling=False, noisy=False, n_step=1, prioritised=False, discount=0.5)
ATOMS = np.arange(-4.0, 13.0)
FAMILY = {
    "dqn": DQN,
    "c51": functools.partial(C51, atoms=len(ATOMS), lowest_value=ATOMS[0], highest_value=ATOMS[-1]),
    "qr-dqn": functools.partial(QRDQN, quantiles=4, kappa=2.0),
    "iqn": functools.partial(IQN, fractions=2048, target_fractions=4, policy_fractions=4, kappa=2.0),
    "rainbow": functools.partial(Rainbow, atoms=len(ATOMS), lowest_value=ATOMS[0], highest_value=ATOMS[-1]),
}


class Outputs(eqx.Module):
    """A table of outputs, by one-hot observation; whatever else is given does not matter."""

    values: jax.Array

    def __call__(self, observation, fractions=None):
        observation = observation["observation"] if isinstance(observation, dict) else observation
        found = jnp.tensordot(observation, self.values, 1)
        return found if fractions is None else jnp.broadcast_to(found[:, None], (2, fractions.size))


def one_fast(fast, *names):
    """Gives a test several algorithms, all but one of them slow."""
    return [pytest.param(name, marks=() if name == fast else pytest.mark.slow) for name in names]


def outputs(name, means):
    """Makes a table whose action values are about these, and are in their order."""
    if name in ("c51", "rainbow"):
        return -np.abs(ATOMS - means[..., None]).astype(np.float32)
    if name == "qr-dqn":
        return (means[..., None] + np.array([-1, -0.5, 0.5, 1])).astype(np.float32)
    return np.asarray(means, np.float32)


def state_of(algorithm, name, online=laws.Q_ONLINE, target=laws.Q_TARGET, spaces=SPACES):
    table = [Outputs(jnp.asarray(outputs(name, np.asarray(means)))) for means in (online, target)]
    state = dataclasses.replace(algorithm, network=lambda spaces, key: table[0]).init(spaces, key=jax.random.key(0))
    return dataclasses.replace(state, target=table[1])


def initial(algorithm):
    return laws.fast_jit(lambda key: algorithm.init(SPACES, key=key))(jax.random.key(0))


def update(algorithm, state, batch, key=0):
    run = laws.fast_jit(lambda state, key: algorithm.update(state, batch, step=jnp.zeros(()), key=key))
    return run(state, jax.random.key(key))


# -------------------------------------------------------------------------------------------------------- by hand


def value_by_hand(name, found):
    if name in ("c51", "rainbow"):
        probs = np.exp(found - found.max(-1, keepdims=True))
        return (probs / probs.sum(-1, keepdims=True)) @ ATOMS
    return found.mean(-1) if found.ndim == 2 else found


def loss_by_hand(name, prediction, reward, discount, following):
    """Returns the loss of one example from the outputs for the action and for the next action."""
    if name == "dqn":
        error = abs(reward + discount * following - prediction)
        return error**2 / 2 if error <= 1 else error - 0.5
    if name in ("c51", "rainbow"):
        probs, target = np.exp(following) / np.exp(following).sum(), np.zeros(len(ATOMS))
        for atom, mass in zip(ATOMS, probs, strict=True):
            place = np.clip(reward + discount * atom, ATOMS[0], ATOMS[-1]) - ATOMS[0]
            low = int(np.floor(place))
            target[low] += mass * (1 - place + low)
            target[min(low + 1, len(ATOMS) - 1)] += mass * (place - low)
        return -np.sum(target * (prediction - np.log(np.exp(prediction).sum())))
    if name == "iqn":  # the same quantile everywhere: the mean over many fractions of |τ − 1| or |τ| is a half
        prediction, fractions = np.full(2048, prediction), (np.arange(2048) + 0.5) / 2048
    else:
        fractions = np.array([0.125, 0.375, 0.625, 0.875])
    total, kappa = 0.0, 2.0
    for quantile, fraction in zip(prediction, fractions, strict=True):
        for sample in np.atleast_1d(reward + discount * following):
            error = sample - quantile
            huber = error**2 / 2 if abs(error) <= kappa else kappa * (abs(error) - kappa / 2)
            total += abs(fraction - (error < 0)) * huber / kappa
    return total / np.size(following)


def losses_by_hand(name, online, target, double):
    transition = laws.host(laws.dqn_batch().transition)
    online, target = outputs(name, online), outputs(name, target)
    found = []
    for i in range(4):
        now, after = transition.observation[i].argmax(), transition.next_observation[i].argmax()
        best = value_by_hand(name, (online if double else target)[after]).argmax()
        discount = 0.0 if transition.terminated[i] else 0.5
        action, reward = transition.action[i], transition.reward[i]
        found.append(loss_by_hand(name, online[now, action], reward, discount, target[after, best]))
    return np.array(found)


@pytest.mark.parametrize("double", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("name", ["dqn", "c51", "qr-dqn", "iqn"])
def test_loss_by_hand(name, double):
    algorithm = FAMILY[name](**PLAIN, double=double)
    batch = dataclasses.replace(laws.dqn_batch(), weight=jnp.array([0.5, 1.0, 0.25, 1.0]))
    _, metrics, feedback = update(algorithm, state_of(algorithm, name), batch)
    wanted = losses_by_hand(name, laws.Q_ONLINE, laws.Q_TARGET, double)
    other = losses_by_hand(name, laws.Q_ONLINE, laws.Q_TARGET, not double)
    assert not np.isclose(wanted, other).all()
    rough = {"rtol": 0.06} if name == "iqn" else {"rtol": 1e-4, "atol": 1e-5}
    if name != "dqn":
        np.testing.assert_allclose(feedback.priority, wanted, **rough)
    np.testing.assert_allclose(metrics["loss"], np.mean(wanted * batch.weight), **rough)


@pytest.mark.parametrize("name", one_fast("c51", "c51", "qr-dqn", "iqn"))
def test_masked_examples_do_not_count(name):
    algorithm = FAMILY[name](**PLAIN)
    batch = dataclasses.replace(laws.dqn_batch(), mask=jnp.array([True, False, True, False]))
    reward = batch.transition.reward.at[jnp.array([1, 3])].set(jnp.nan)
    batch = dataclasses.replace(batch, transition=dataclasses.replace(batch.transition, reward=reward))
    _, metrics, feedback = update(algorithm, state_of(algorithm, name), batch)
    np.testing.assert_allclose(metrics["loss"], np.mean(np.asarray(feedback.priority)[[0, 2]]), rtol=1e-5)
    assert float(metrics["skipped"]) == 0


@pytest.mark.parametrize("name", one_fast("qr-dqn", "c51", "qr-dqn", "iqn"))
def test_forbidden_actions_are_neither_taken_nor_bootstrapped_from(name):
    space = kinds.Dict({"observation": OBSERVATION, "action_mask": kinds.MultiBinary(2)})
    spaces = Spaces(space, SPACES.action)
    batch, algorithm = laws.dqn_batch(), FAMILY[name](**PLAIN)

    def masked(x):
        return {"observation": x, "action_mask": jnp.tile(jnp.array([0, 1], jnp.int8), (4, 1))}

    transition = dataclasses.replace(
        batch.transition,
        observation=masked(batch.transition.observation),
        next_observation=masked(batch.transition.next_observation),
        action=jnp.ones(4, int),
    )
    low = np.array([[12.0, 2.0]] * 3)  # the forbidden action is the best
    state = state_of(algorithm, name, low, low, spaces)
    one = jax.tree.map(lambda leaf: leaf[0], transition.observation)
    for explore in (False, True):
        assert int(algorithm.act(state, one, None, step=jnp.zeros(()), key=jax.random.key(0), explore=explore)[0]) == 1
    *_, feedback = update(algorithm, state, dataclasses.replace(batch, transition=transition))
    table = outputs(name, low)[0, 1]
    wanted = loss_by_hand(name, table, 0.5, 0.5, table)
    np.testing.assert_allclose(feedback.priority[0], wanted, rtol=0.06 if name == "iqn" else 1e-4)


def test_munchausen_by_hand():
    dqn = DQN(munchausen=True, munchausen_temperature=0.5, munchausen_scale=0.8, munchausen_floor=-0.7, discount=0.5)
    *_, feedback = update(dqn, laws.dqn_state(dqn), laws.dqn_batch())
    transition, wanted = laws.host(laws.dqn_batch().transition), []
    for i in range(4):
        now, after = transition.observation[i].argmax(), transition.next_observation[i].argmax()
        log_pi = [q / 0.5 - np.log(np.exp(q / 0.5).sum()) for q in laws.Q_TARGET[[now, after]].astype(float)]
        bonus = 0.8 * np.clip(0.5 * log_pi[0][transition.action[i]], -0.7, 0)
        soft = np.exp(log_pi[1]) @ (laws.Q_TARGET[after] - 0.5 * log_pi[1])
        target = transition.reward[i] + bonus + (0 if transition.terminated[i] else 0.5) * soft
        wanted.append(abs(target - laws.Q_ONLINE[now, transition.action[i]]))
    np.testing.assert_allclose(feedback.priority, wanted, rtol=1e-5)


@pytest.mark.slow
def test_fractions_are_drawn_for_each_example():
    iqn = IQN(**PLAIN, fractions=2, target_fractions=2, hidden_sizes=(4,), cosines=3, learning_rate=0.0)
    state = initial(iqn)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * 4), laws.dqn_batch())
    one, other = (np.asarray(update(iqn, state, batch, key)[2].priority) for key in (0, 1))
    assert len(np.unique(np.concatenate([one, other]))) == 8


def test_atoms_out_of_order_are_refused():
    with pytest.raises(ValueError, match="low must be less than high"):
        C51(lowest_value=1.0, highest_value=1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QRDQN(quantiles=0), "QRDQN: quantiles must be at least 1"),
        (lambda: IQN(cosines=0), "IQN: cosines must be at least 1"),
        (lambda: IQN(kappa=-1.0), "IQN: kappa must not be negative"),
        (lambda: C51(n_step=0), "C51: n_step must be at least 1; got 0"),
        (lambda: Rainbow(priority_exponent=-1.0), "Rainbow: priority_exponent must not be negative"),
        (lambda: DQN(munchausen=True, n_step=2), "n_step must be 1; got 2"),
        (lambda: DQN(munchausen_temperature=0.0), "munchausen_temperature must be above 0"),
        (lambda: DQN(dueling=True, hidden_sizes=()).init(SPACES, key=jax.random.key(0)), "at least one hidden layer"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.slow
def test_knobs_may_be_mapped():
    def loss(low, exponent):
        c51 = C51(atoms=5, lowest_value=low, priority_exponent=exponent, **PLAIN | {"hidden_sizes": (4,)})
        state = c51.init(SPACES, key=jax.random.key(0))
        return c51.update(state, laws.dqn_batch(), step=jnp.zeros(()), key=jax.random.key(0))[1]["loss"]

    found = laws.fast_jit(jax.vmap(loss))(jnp.array([-10.0, -1.0]), jnp.array([0.5, 0.6]))
    assert found[0] != found[1]


# ---------------------------------------------------------------------------------------------------- what is asked


def test_what_replay_must_bring():
    assert DQN().requirements == OffPolicy(1, 1, 128, 100_000, 1_000, importance_exponent=0.4)
    needs = Rainbow().requirements
    assert (needs.sequence_length, needs.priority_exponent) == (3, 0.5)
    assert Rainbow(prioritised=False).requirements.priority_exponent is None


# ------------------------------------------------------------------------------------------------------------ noise


@pytest.mark.parametrize("name", one_fast("dqn", "dqn", "iqn"))
def test_noise_is_drawn_for_each_lane_and_none_in_evaluation(name):
    algorithm = FAMILY[name](**PLAIN | dict(noisy=True, hidden_sizes=(4,), epsilon=1.0))
    state = initial(algorithm)
    steady = jax.tree.map(
        lambda node: (
            dataclasses.replace(node, weight_scale=0 * node.weight_scale, bias_scale=0 * node.bias_scale)
            if isinstance(node, networks.NoisyLinear)
            else node
        ),
        state.online,
        is_leaf=lambda node: isinstance(node, networks.NoisyLinear),
    )

    @functools.partial(laws.fast_jit, static_argnums=2)
    def act(online, keys, explore):
        now = dataclasses.replace(state, online=online)
        settings = dict(step=jnp.zeros(()), explore=explore)
        return jax.vmap(lambda key: algorithm.act(now, jnp.ones(3), None, key=key, **settings)[0])(keys)

    keys = jax.random.split(jax.random.key(0), 256)
    best = act(state.online, keys, False)
    assert len(np.unique(best)) == 1
    assert 0 < np.mean(np.asarray(act(state.online, keys, True)) != best) < 1
    np.testing.assert_array_equal(act(steady, keys, True), best)  # with ε at 1 half of them would not be


@pytest.mark.slow
def test_online_and_target_draw_noise_of_their_own():
    spaces = Spaces(OBSERVATION, kinds.Discrete(1))
    dqn = DQN(**PLAIN | dict(noisy=True, hidden_sizes=(4,), discount=1.0))
    state = laws.fast_jit(lambda key: dqn.init(spaces, key=key))(jax.random.key(0))
    x, no = jnp.ones((4, 3)), jnp.zeros(4, bool)
    transition = dataclasses.replace(
        laws.dqn_batch().transition, observation=x, next_observation=x, action=jnp.zeros(4, int), reward=jnp.zeros(4),
        terminated=no, truncated=no,
    )  # fmt: skip
    one, other = (update(dqn, state, Batch(transition), key)[2].priority for key in (0, 1))
    assert (np.asarray(one) > 0).all()  # with the same noise the value is its own target
    assert len(np.unique(one)) == 1, "one draw serves the whole batch"
    assert (np.asarray(one) != other).all()


@pytest.mark.slow
def test_noise_is_not_kept_and_its_scale_is_learned():
    dqn = DQN(**PLAIN | dict(noisy=True, hidden_sizes=(4,), learning_rate=0.1, target_period=1))
    state = initial(dqn)
    after, *_ = update(dqn, state, laws.dqn_batch())
    for before, layer in zip(state.online.layers, after.online.layers, strict=True):
        assert not layer.noise_in.any()
        assert not layer.noise_out.any()
        assert (np.asarray(layer.weight_scale) != before.weight_scale).any()
    laws.assert_equal(after.target, after.online)


def test_own_network_must_be_noisy():
    def network(spaces, *, key):
        return networks.MLP(jnp.zeros(3), 2, (4,), key=key)

    with pytest.raises(ValueError, match="noisy, but the network has no"):
        DQN(noisy=True, network=network).init(SPACES, key=jax.random.key(0))
    state = DQN(noisy=True, network=lambda spaces, key: networks.with_noise(network(spaces, key=key))).init(
        SPACES, key=jax.random.key(0)
    )
    assert networks.count_noisy(state.online) == 2


# --------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(("dueling", "noisy"), [(False, True), (True, False), (True, True)])
@pytest.mark.parametrize("name", ["dqn", "c51", "qr-dqn", "iqn"])
@pytest.mark.slow
def test_default_networks(name, dueling, noisy):
    image = kinds.Dict({"observation": kinds.Box(0, 255, (8, 8, 2), np.uint8), "action_mask": kinds.MultiBinary(2)})
    for observation, sizes in ((OBSERVATION, (6, 5)), (image, (6,))):
        algorithm = FAMILY[name](**PLAIN | dict(dueling=dueling, noisy=noisy, hidden_sizes=sizes))
        spaces = Spaces(observation, SPACES.action)
        online = eqx.filter_eval_shape(
            lambda key, algorithm=algorithm, spaces=spaces: algorithm.init(spaces, key=key).online, jax.random.key(0)
        )
        nodes = jax.tree.leaves(online, is_leaf=lambda node: isinstance(node, networks.Dueling | eqx.nn.Linear))
        assert any(isinstance(node, networks.Dueling) for node in nodes) == dueling
        assert (networks.count_noisy(online) > 0) == noisy
        if noisy and not dueling:
            assert not any(isinstance(node, eqx.nn.Linear) for node in nodes)
        q = eqx.filter_eval_shape(algorithm._values, online, example(observation))
        assert q.shape == (2,)


# ----------------------------------------------------------------------------------------------------------- faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "kind", "old", "new"),
    [
        ("_c51", "C51", "            selector,\n", "            self._values(target, transition.next_observation),\n"),
        ("_c51", "C51", "target(transition.next_observation)", "online(transition.next_observation)"),
        ("_qr_dqn", "QRDQN", "target(transition.next_observation)", "online(transition.next_observation)"),
        ("_qr_dqn", "QRDQN", "quantile_midpoints(quantiles.shape[-1])", "jnp.linspace(0, 1, quantiles.shape[-1])"),
        ("_iqn", "IQN", "target(transition.next_observation,", "online(transition.next_observation,"),
    ],
)
def test_planted_fault_is_found(module, kind, old, new):
    name = {"C51": "c51", "QRDQN": "qr-dqn", "IQN": "iqn"}[kind]
    settings = PLAIN | {"double": True} | FAMILY[name].keywords
    algorithm = faults.plant(f"bellmax.algorithms.{module}", kind, old, new)(**settings)
    *_, feedback = update(algorithm, state_of(algorithm, name), laws.dqn_batch())
    wanted = losses_by_hand(name, laws.Q_ONLINE, laws.Q_TARGET, double=True)
    assert not np.allclose(feedback.priority, wanted, rtol=0.06)
