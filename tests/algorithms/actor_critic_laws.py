"""Laws of the actor-critics that learn from replay, by hand on four transitions, to which planted faults can be put.

Networks are linear in a one-hot observation of three states and an action, so that NumPy can say what is right. The box
of actions is [−1, 3]: centre 1, half-width 2. Each `law_*` takes what holds the classes under test.
"""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces as kinds

from bellmax import algorithms
from bellmax._core import Spaces, lane_keys
from bellmax.algorithms import ActorQ, Batch, Transition
from bellmax.policies import squashed_gaussian
from training.laws import fast_jit

OBSERVATION = kinds.Box(0.0, 1.0, (3,), np.float32)
SPACES = Spaces(OBSERVATION, kinds.Box(-1.0, 3.0, (1,), np.float32))
CHOICES = Spaces(OBSERVATION, kinds.Discrete(2))
KEY = jax.random.key(3)
DISCOUNT, ALPHA = 0.5, 0.3

STATE, FOLLOWING = np.array([0, 1, 2, 0]), np.array([1, 1, 2, 2])
ACTION = np.array([-1.0, 0.0, 1.5, 3.0], np.float32)
SCALED = np.array([-1.0, -0.5, 0.25, 1.0])
REWARD = np.array([0.5, 1.0, -1.0, 2.0])
TERMINATED, TRUNCATED = np.array([0, 1, 0, 1], bool), np.array([0, 0, 1, 1], bool)
GOES_ON = DISCOUNT * ~TERMINATED

MU, LOGVAR = np.array([0.4, -0.3, 0.8], np.float32), np.float32(-1.0)
# Two critics, the last number for the action; below the targets, which are other numbers.
ONLINE = np.array([[1.0, 2.0, -1.0, 0.5], [1.5, -1.0, 0.0, -1.0]], np.float32)
TARGET = np.array([[4.0, -2.0, 3.0, 1.0], [2.0, 1.0, 5.0, -2.0]], np.float32)


class LinearCritic(eqx.Module):
    weight: jax.Array

    def __call__(self, observation, action):
        return jnp.concatenate([observation, action]) @ self.weight


class LinearGaussian(eqx.Module):
    mu: jax.Array
    logvar: jax.Array

    def __call__(self, observation):
        return squashed_gaussian((observation @ self.mu)[None], self.logvar[None])


class LinearAction(eqx.Module):
    weight: jax.Array

    def __call__(self, observation):
        return jnp.tanh(observation @ self.weight)[None]


class Table(eqx.Module):
    values: jax.Array

    def __call__(self, observation):
        return observation @ self.values


def gaussian():
    return LinearGaussian(jnp.asarray(MU), jnp.asarray(LOGVAR))


# One function a network: what is compiled for one algorithm then serves all that differ in numbers only.


def sac_networks(spaces, key):
    return ActorQ(gaussian(), LinearCritic(jnp.asarray(ONLINE[0])))


def td3_networks(spaces, key):
    return ActorQ(LinearAction(jnp.asarray(MU)), LinearCritic(jnp.asarray(ONLINE[0])))


def tqc_networks(spaces, key):
    return ActorQ(gaussian(), LinearCritic(jnp.asarray(ONLINE_QUANTILES[0])))


def discrete_networks(spaces, key):
    return ActorQ(Table(jnp.asarray(LOGITS)), Table(jnp.asarray(ONLINE_TABLES[0])))


def made(kind, network, online, target, spaces=SPACES, **settings):
    """Makes an algorithm of a class and a state of it, out of linear networks."""
    settings = dict(discount=DISCOUNT, members=len(online), warm_up=1) | settings
    algorithm = kind(network=network, **settings)
    state = algorithm.init(spaces, key=jax.random.key(0))
    critic = type(state.critics)
    return algorithm, dataclasses.replace(
        state, critics=critic(jnp.asarray(online)), target_critics=critic(jnp.asarray(target))
    )


def made_sac(subject, online=ONLINE, target=TARGET, **settings):
    settings = dict(temperature=ALPHA, learn_temperature=False) | settings
    return made(subject.SAC, sac_networks, online, target, **settings)


def made_td3(subject, online=ONLINE, target=TARGET, **settings):
    return made(subject.TD3, td3_networks, online, target, **(dict(smoothing_stddev=0.0, policy_delay=1) | settings))


def batch_of(action=ACTION[:, None]):
    """Makes four transitions: going on, terminated, truncated, both."""
    return Batch(
        Transition(
            jax.nn.one_hot(STATE, 3),
            jnp.asarray(action),
            jnp.asarray(REWARD, jnp.float32),
            jax.nn.one_hot(FOLLOWING, 3),
            jnp.asarray(TERMINATED),
            jnp.asarray(TRUNCATED),
        )
    )


@fast_jit
def update(algorithm, state, batch):
    return algorithm.update(state, batch, step=jnp.zeros(()), key=KEY)


def updated(algorithm, state, batch=None, calls=1):
    """Updates some times, and returns the last state, metrics and feedback."""
    for _ in range(calls):
        state, metrics, feedback = update(algorithm, state, batch_of() if batch is None else batch)
    return state, {name: float(value) for name, value in metrics.items()}, feedback


@functools.cache
def draws():
    """Actions and log-probabilities as an update must draw them: of the successors, and of the observations."""
    keys = jax.vmap(jax.random.split)(lane_keys(KEY, 4))

    def draw(state, key):
        return gaussian()(jax.nn.one_hot(state, 3)).sample_and_log_prob(seed=key)

    pairs = jax.vmap(draw)(jnp.asarray(FOLLOWING), keys[:, 0]), jax.vmap(draw)(jnp.asarray(STATE), keys[:, 1])
    return [(np.asarray(action)[:, 0], np.asarray(log_prob)) for action, log_prob in pairs]


def q_of(weights, state, action):
    return np.stack([weight[state] + weight[3] * action for weight in weights])


# ------------------------------------------------------------------------------------------------------------- SAC


def sac_errors():
    (action, log_prob), _ = draws()
    value = q_of(TARGET, FOLLOWING, action).min(axis=0) - ALPHA * log_prob
    return REWARD + GOES_ON * value - q_of(ONLINE, STATE, SCALED)


def law_sac_target_is_the_soft_value_of_the_lesser_critic(subject):
    """r + γ (min Q̄(s', a') − α log π(a'|s')) − Q_i(s, a), the bootstrap zero where terminated."""
    _, metrics, feedback = updated(*made_sac(subject))
    errors = sac_errors()
    np.testing.assert_allclose(feedback.priority, np.abs(errors).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(metrics["critic_loss"], 0.5 * np.square(errors).sum(axis=0).mean(), rtol=1e-5)


def law_critics_step_against_their_own_errors(subject):
    """The slope of half a squared error is −δ (s, a): the target is stopped, and no critic sees another's error."""
    algorithm, state = made_sac(subject, critic_learning_rate=1.0)
    algorithm = dataclasses.replace(algorithm, adam_epsilon=1e6)  # then a step of Adam is the gradient, a millionth
    after, metrics, _ = updated(algorithm, state)
    inputs = np.concatenate([np.eye(3)[STATE], SCALED[:, None]], axis=1)
    slope = np.stack([-(error[:, None] * inputs).mean(axis=0) for error in sac_errors()])
    np.testing.assert_allclose(metrics["gradient_norm"], np.linalg.norm(slope), rtol=1e-5)
    moved = np.asarray(after.critics.weight) - ONLINE
    np.testing.assert_array_equal(np.sign(np.round(moved, 7)), -np.sign(np.round(slope, 1)))


def law_sac_actor_climbs_the_lesser_critic_and_its_entropy(subject):
    """α log π(a|s) − min Q(s, a), at an action drawn anew, of the observation."""
    _, metrics, _ = updated(*made_sac(subject, critic_learning_rate=0.0))
    _, (action, log_prob) = draws()
    wanted = (ALPHA * log_prob - q_of(ONLINE, STATE, action).min(axis=0)).mean()
    np.testing.assert_allclose(metrics["actor_loss"], wanted, rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], -log_prob.mean(), rtol=1e-5)


def law_sac_actor_moves_up_the_slope(subject):
    """With critics that all like large actions, and no temperature, every mean rises and nothing else learns."""
    algorithm, state = made_sac(subject, online=np.array([[0, 0, 0, 1.0]] * 2, np.float32), temperature=0.0)
    algorithm = dataclasses.replace(algorithm, critic_learning_rate=0.0, actor_learning_rate=0.1)
    after, *_ = updated(algorithm, state)
    assert (np.asarray(after.actor.mu) > MU).all()
    np.testing.assert_array_equal(after.critics.weight, state.critics.weight)


def law_temperature_follows_the_entropy(subject):
    """A policy with too little entropy makes it dearer, one with too much cheaper, by the step of Adam."""
    _, (_, log_prob) = draws()
    entropy = -log_prob.mean()
    for target, sign in ((entropy + 0.1, 1), (entropy - 0.1, -1)):
        algorithm, state = made_sac(subject, learn_temperature=True, target_entropy=float(target))
        algorithm = dataclasses.replace(algorithm, temperature_learning_rate=0.01)
        after, metrics, feedback = updated(algorithm, state)
        np.testing.assert_allclose(metrics["temperature"], ALPHA, rtol=1e-6)
        np.testing.assert_allclose(feedback.priority, np.abs(sac_errors()).mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(after.temperature.log_alpha, np.log(ALPHA) + sign * 0.01, rtol=1e-4)


def law_targets_move_a_step_towards_the_critics(subject):
    """θ̄ ← (1 − τ) θ̄ + τ θ, with the critics as they are after the update, at every update."""
    algorithm, state = made_sac(subject, target_step=0.25, critic_learning_rate=0.1, policy_delay=3)
    after, *_ = updated(algorithm, state)
    wanted = 0.75 * TARGET + 0.25 * np.asarray(after.critics.weight)
    np.testing.assert_allclose(after.target_critics.weight, wanted, rtol=1e-6)
    assert (np.asarray(after.critics.weight) != ONLINE).any()


def law_actor_waits_for_its_turn(subject):
    """Of `policy_delay` updates the last moves the actor; those that do not report no loss of it."""
    algorithm, state = made_sac(subject, policy_delay=3, actor_learning_rate=0.1)
    for calls in (1, 2, 3):
        state, metrics, _ = updated(algorithm, state)
        assert bool((np.asarray(state.actor.mu) == MU).all()) == (calls < 3)
        assert bool(np.isnan(metrics["actor_loss"])) == (calls < 3)
        assert metrics["skipped"] == 0


def law_examples_that_do_not_count_do_not(subject):
    """What masked examples hold does not matter; weights multiply the critics' losses and divide by the batch."""
    algorithm, state = made_sac(subject)
    mask = np.array([1, 1, 0, 1], bool)
    batch = dataclasses.replace(batch_of(), mask=jnp.asarray(mask))
    other_reward = dataclasses.replace(batch.transition, reward=jnp.where(mask, batch.transition.reward, jnp.nan))
    after, metrics, _ = updated(algorithm, state, batch)
    other, other_metrics, _ = updated(algorithm, state, dataclasses.replace(batch, transition=other_reward))
    assert all(other_metrics[name] == metrics[name] for name in ("critic_loss", "absolute_error", "q", "skipped"))
    for leaf, same in zip(jax.tree.leaves(after), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(leaf, same)
    other, *_ = updated(algorithm, state, dataclasses.replace(batch_of(), mask=jnp.ones(4, bool)))
    assert (np.asarray(after.actor_optimiser[1].mu) != np.asarray(other.actor_optimiser[1].mu)).any()
    loss = 0.5 * np.square(sac_errors()).sum(axis=0)
    np.testing.assert_allclose(metrics["critic_loss"], loss[mask].mean(), rtol=1e-5)
    weight = np.array([0.5, 1.0, 0.0, 0.25])
    _, metrics, _ = updated(algorithm, state, dataclasses.replace(batch_of(), weight=jnp.asarray(weight, jnp.float32)))
    np.testing.assert_allclose(metrics["critic_loss"], (weight * loss).mean(), rtol=1e-5)


# --------------------------------------------------------------------------------------------------- TD3 and DDPG


def law_td3_target_is_the_lesser_value_of_the_target_action(subject):
    """r + γ min Q̄(s', μ̄(s')) − Q_i(s, a), of the target actor."""
    algorithm, state = made_td3(subject)
    target_actor = LinearAction(jnp.asarray(-MU))
    _, metrics, feedback = updated(algorithm, dataclasses.replace(state, target_actor=target_actor))
    value = q_of(TARGET, FOLLOWING, np.tanh(-MU[FOLLOWING])).min(axis=0)
    errors = REWARD + GOES_ON * value - q_of(ONLINE, STATE, SCALED)
    np.testing.assert_allclose(feedback.priority, np.abs(errors).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(metrics["critic_loss"], 0.5 * np.square(errors).sum(axis=0).mean(), rtol=1e-5)


def law_td3_actor_climbs_the_first_critic(subject):
    """−Q_1(s, μ(s)), of the actor that acts and the critics that learn; the second critic slopes the other way."""
    algorithm, state = made_td3(subject, critic_learning_rate=0.0, actor_learning_rate=0.1)
    after, metrics, _ = updated(algorithm, state)
    wanted = -q_of(ONLINE, STATE, np.tanh(MU[STATE]))[0].mean()
    np.testing.assert_allclose(metrics["actor_loss"], wanted, rtol=1e-5)
    assert (np.asarray(after.actor.weight) > MU).all()


def law_smoothing_blurs_the_target_action(subject):
    """The noise on the target action is another for each example, within its clip, and none without a deviation."""
    online = np.array([[0, 0, 0, 0.0]] * 2, np.float32)
    target = np.array([[0, 0, 0, 1.0]] * 2, np.float32)  # the target is the action itself
    seen = {}
    for stddev in (0.0, 10.0, 0.2):
        algorithm, state = made_td3(
            subject, online=online, target=target, smoothing_stddev=stddev, smoothing_clip=0.25, discount=1.0
        )
        transition = dataclasses.replace(batch_of().transition, reward=jnp.full(4, 10.0), terminated=jnp.zeros(4, bool))
        seen[stddev] = np.asarray(updated(algorithm, state, Batch(transition))[2].priority) - 10
    np.testing.assert_allclose(seen[0.0], np.tanh(MU[FOLLOWING]), rtol=1e-5)
    noise = seen[10.0] - seen[0.0]
    assert np.abs(noise).max() <= 0.25 + 1e-5
    assert np.abs(seen[10.0]).max() <= 1 + 1e-5
    assert len(set(np.round(seen[0.2] - seen[0.0], 5))) == 4


def law_td3_targets_wait_for_the_actor(subject):
    """Both targets move when the actor does, and stay until then."""
    algorithm, state = made_td3(
        subject, policy_delay=2, target_step=0.25, critic_learning_rate=0.1, actor_learning_rate=0.1
    )
    waiting, *_ = updated(algorithm, state)
    np.testing.assert_array_equal(waiting.target_critics.weight, TARGET)
    np.testing.assert_array_equal(waiting.target_actor.weight, MU)
    np.testing.assert_array_equal(waiting.actor.weight, MU)
    after, *_ = updated(algorithm, state, calls=2)
    wanted = 0.75 * MU + 0.25 * np.asarray(after.actor.weight)
    np.testing.assert_allclose(after.target_actor.weight, wanted, rtol=1e-6)
    wanted = 0.75 * TARGET + 0.25 * np.asarray(after.critics.weight)
    np.testing.assert_allclose(after.target_critics.weight, wanted, rtol=1e-6)
    assert (np.asarray(after.actor.weight) != MU).any()


# ------------------------------------------------------------------------------------------------------------- TQC

ONLINE_QUANTILES = np.stack([ONLINE + shift for shift in (-1.0, 0.0, 2.0)], axis=-1)
TARGET_QUANTILES = np.stack([TARGET + shift for shift in (0.5, -0.5, 3.0)], axis=-1)


def made_tqc(subject, **settings):
    settings = dict(temperature=ALPHA, learn_temperature=False, quantiles=3, dropped=1) | settings
    return made(subject.TQC, tqc_networks, ONLINE_QUANTILES, TARGET_QUANTILES, **settings)


def quantiles_of(weights, state, action):
    return np.stack([weight[state] + weight[3] * action[:, None] for weight in weights])


def law_tqc_learns_what_is_left_of_the_pool(subject):
    """Six quantiles of two critics, the two largest dropped, less the entropy; each critic regresses on them."""
    _, metrics, feedback = updated(*made_tqc(subject))
    (action, log_prob), _ = draws()
    pool = quantiles_of(TARGET_QUANTILES, FOLLOWING, action).transpose(1, 0, 2).reshape(4, 6)
    kept = np.sort(pool, axis=1)[:, :4]
    targets = REWARD[:, None] + GOES_ON[:, None] * (kept - ALPHA * log_prob[:, None])
    q = quantiles_of(ONLINE_QUANTILES, STATE, SCALED)
    loss = np.zeros(4)
    for member in range(2):
        for i, fraction in enumerate((1 / 6, 1 / 2, 5 / 6)):
            gap = targets - q[member, :, i, None]
            huber = np.where(np.abs(gap) <= 1, 0.5 * gap**2, np.abs(gap) - 0.5)
            loss += (np.abs(fraction - (gap < 0)) * huber).mean(axis=1)
    np.testing.assert_allclose(metrics["critic_loss"], loss.mean(), rtol=1e-5)
    wanted = np.abs(q.mean(axis=-1) - targets.mean(axis=1)).mean(axis=0)
    np.testing.assert_allclose(feedback.priority, wanted, rtol=1e-5)


def law_tqc_actor_climbs_the_mean_of_all_quantiles(subject):
    """α log π(a|s) − the mean over critics and quantiles, none dropped."""
    _, metrics, _ = updated(*made_tqc(subject, critic_learning_rate=0.0))
    _, (action, log_prob) = draws()
    wanted = ALPHA * log_prob - quantiles_of(ONLINE_QUANTILES, STATE, action).mean(axis=(0, 2))
    np.testing.assert_allclose(metrics["actor_loss"], wanted.mean(), rtol=1e-5)


# ---------------------------------------------------------------------------------------------------- discrete SAC

LOGITS = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.5]], np.float32)
ONLINE_TABLES = np.array([[[1.0, 2.0], [3.0, 1.0], [0.0, 0.5]], [[0.0, 3.0], [2.0, 2.0], [1.0, -1.0]]], np.float32)
TARGET_TABLES = np.array([[[5.0, 4.0], [7.0, 10.0], [6.0, 8.0]], [[6.0, 3.0], [8.0, 9.0], [5.0, 9.0]]], np.float32)
CHOSEN = np.array([0, 1, 1, 1])


def made_discrete(subject, **settings):
    settings = dict(temperature=ALPHA, learn_temperature=False) | settings
    return made(subject.DiscreteSAC, discrete_networks, ONLINE_TABLES, TARGET_TABLES, CHOICES, **settings)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


def law_discrete_target_is_a_sum_over_actions(subject):
    """r + γ Σ_a π(a|s') (min Q̄(s', a) − α log π(a|s')) − Q_i(s, a)."""
    _, metrics, feedback = updated(*made_discrete(subject), batch_of(CHOSEN))
    log_probs = log_softmax(LOGITS[FOLLOWING])
    value = (np.exp(log_probs) * (TARGET_TABLES[:, FOLLOWING].min(axis=0) - ALPHA * log_probs)).sum(axis=1)
    errors = REWARD + GOES_ON * value - ONLINE_TABLES[:, STATE, CHOSEN]
    np.testing.assert_allclose(feedback.priority, np.abs(errors).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(metrics["critic_loss"], 0.5 * np.square(errors).sum(axis=0).mean(), rtol=1e-5)


def law_discrete_actor_climbs_the_lesser_critic(subject):
    """Σ_a π(a|s) (α log π(a|s) − min Q(s, a)), and its minimum is the softmax of Q/α."""
    algorithm, state = made_discrete(subject, critic_learning_rate=0.0)
    _, metrics, _ = updated(algorithm, state, batch_of(CHOSEN))
    log_probs, q = log_softmax(LOGITS[STATE]), ONLINE_TABLES[:, STATE].min(axis=0)
    wanted = (np.exp(log_probs) * (ALPHA * log_probs - q)).sum(axis=1).mean()
    np.testing.assert_allclose(metrics["actor_loss"], wanted, rtol=1e-5)
    np.testing.assert_allclose(metrics["entropy"], -(np.exp(log_probs) * log_probs).sum(axis=1).mean(), rtol=1e-5)
    best = dataclasses.replace(state, actor=Table(jnp.asarray(ONLINE_TABLES.min(axis=0) / ALPHA)))
    _, metrics, _ = updated(algorithm, best, batch_of(CHOSEN))
    np.testing.assert_allclose(metrics["actor_gradient_norm"], 0, atol=1e-6)


def law_discrete_temperature_follows_the_entropy(subject):
    """The target is a share of the entropy of the uniform policy."""
    log_probs = log_softmax(LOGITS[STATE])
    share = -(np.exp(log_probs) * log_probs).sum(axis=1).mean() / np.log(2)
    for target, sign in ((share + 0.01, 1), (share - 0.01, -1)):
        algorithm, state = made_discrete(subject, learn_temperature=True, target_entropy=float(target))
        algorithm = dataclasses.replace(algorithm, temperature_learning_rate=0.01)
        after, *_ = updated(algorithm, state, batch_of(CHOSEN))
        np.testing.assert_allclose(after.temperature.log_alpha, np.log(ALPHA) + sign * 0.01, rtol=1e-4)


LAWS = {name.removeprefix("law_"): law for name, law in dict(globals()).items() if name.startswith("law_")}
REAL = algorithms
