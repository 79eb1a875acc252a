"""Laws of the ends of episodes: what an algorithm computes from a chain whose values are known, through any adapter.

Each `law_*` takes a `Subject`, what is put to it, and the name of a package whose chain is walked. From some states of
that chain the goal is not reached before the limit, so a value is right only if it looks beyond it.
"""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bellmax import envs, returns
from bellmax.algorithms import ActorCritic, Batch, Transition
from bellmax.policies import Categorical
from envs.chains import GymnasiumChain, bellmax_chain
from training import laws

LENGTH, TIME_LIMIT, GOAL, STAY, DISCOUNT = 4, 3, 1.0, 0.05, 0.9
CHAIN = dict(length=LENGTH, time_limit=TIME_LIMIT, goal_reward=GOAL, stay_reward=STAY)
LANES, TIME = 8, 20
TELLS_ONE_END = {"jumanji"}
"""Packages whose step says only that it terminated where both ends meet."""
BACKWARDS = np.arange(LENGTH)[::-1]
VALUES = {
    "forward": GOAL * DISCOUNT**BACKWARDS,  # γ^(n−1−p) r_goal
    "stay": np.full(LENGTH, STAY / (1 - DISCOUNT)),  # r_stay / (1 − γ)
}
# Forward is best from everywhere, so the best values are those of forward.
BEST_Q = np.stack([STAY + DISCOUNT * VALUES["forward"], VALUES["forward"]], axis=1)


@dataclasses.dataclass(frozen=True)
class Subject(laws.Subject):
    """What is put to a law; a planted fault replaces a field."""

    n_step_transitions: Any = returns.n_step_transitions
    n_step_returns: Any = returns.n_step_returns


REAL = Subject()


class Fixed(eqx.Module):
    """Logits that are the same everywhere, and that no gradient moves."""

    logits: jax.Array

    def __call__(self, observation):
        return jax.lax.stop_gradient(self.logits)


LOGITS = {"forward": [0.0, 100.0], "stay": [100.0, 0.0], "random": [0.0, 0.0]}


def actor_critic(policy, values):
    """Makes an actor that does the same everywhere, and a critic with a value for each position."""
    actor = Categorical(Fixed(jnp.array(LOGITS[policy])))
    return ActorCritic(actor, laws.LinearValue(jnp.asarray(values, jnp.float32)))


def ppo(subject, policy, values, **settings):
    """Makes PPO with that actor and that critic."""
    settings = dict(rollout_length=TIME, minibatches=1, discount=DISCOUNT) | settings
    return subject.PPO(network=lambda spaces, key: actor_critic(policy, values), **settings)


def dqn(subject, q, **settings):
    """Makes DQN with a table of action values, which acts at random."""
    settings = dict(rollout_length=TIME, batch_size=LANES, warm_up=LANES * TIME, epsilon=1.0) | settings
    settings = dict(capacity=LANES * TIME, discount=DISCOUNT) | settings
    return subject.DQN(network=lambda spaces, key: laws.Table(jnp.asarray(q, jnp.float32)), **settings)


@functools.cache
def walker(collect, package):
    """Compiles a function from a policy's state to its transitions in the chain of a package."""
    environment, algorithm = bellmax_chain(package, **CHAIN), ppo(REAL, "random", np.zeros(LENGTH))

    @laws.fast_jit
    def run(state, key):
        lanes_key, key = jax.random.split(key)
        keys = jax.random.split(lanes_key, LANES)
        lanes = jax.vmap(lambda key: laws.collecting.start_lane(algorithm, environment, key))(keys)
        settings = dict(length=TIME, step=jnp.zeros(()), steps_at_once=LANES, key=key)
        return collect(algorithm, environment, state, lanes, **settings)[1]

    return run, algorithm.init(environment.spaces, key=jax.random.key(0))


@functools.lru_cache(maxsize=64)
def walk(collect, package, policy):
    """Returns the transitions of some lanes, `time lanes`, as NumPy arrays.

    Args:
        collect: Under test.
        package: Whose chain.
        policy: `forward`, `stay` or `random`.
    """
    if package == "gymnasium":
        return walk_on_host(policy, envs.GymnasiumEnvironment.of(functools.partial(GymnasiumChain, **CHAIN)))
    run, state = walker(collect, package)
    state = dataclasses.replace(state, model=actor_critic(policy, np.zeros(LENGTH)))
    return laws.host(run(state, jax.random.key(1)))


def walk_on_host(policy, environment, loop_class=None):
    """Returns the same from an environment outside JAX."""
    from bellmax.experiment._host_loop import _FIELDS, HostLoop
    from bellmax.experiment._host_trainer import HostTrainer

    trainer = HostTrainer(ppo(REAL, policy, np.zeros(LENGTH)), environment, LANES)
    with (loop_class or HostLoop)(trainer, jax.random.key(1)) as loop:
        rollout, _ = loop._collect()
    return Transition(**dict(zip(_FIELDS, rollout.fields(), strict=True)))


@functools.cache
def evaluate(kind, **settings):
    """Compiles what PPO makes of a rollout before it learns: advantages and targets."""
    algorithm = ppo(Subject(PPO=kind), "random", np.zeros(LENGTH), **settings)
    return laws.fast_jit(lambda model, record: algorithm._evaluate(model, Batch(record)))


def law_no_transition_pairs_two_episodes(subject, package):
    """Every record is a step of the chain: from a position, by an action, to the position that follows."""
    for policy in LOGITS:
        check_walk(walk(subject.collect, package, policy), policy, tells_both=package not in TELLS_ONE_END)


def check_walk(record, policy, *, tells_both=True):
    """Asserts that records are those of whole episodes, one after the other, each from a start of its own."""
    check_steps(record)
    position, following = record.observation.argmax(-1), record.next_observation.argmax(-1)
    ended = record.terminated | record.truncated
    since = np.zeros(LANES, int)
    for now in range(TIME):
        since += 1
        wanted = (since == TIME_LIMIT) & ~(record.terminated[now] & (not tells_both))
        np.testing.assert_array_equal(record.truncated[now], wanted, "the limit is counted anew")
        since = np.where(ended[now], 0, since)
    np.testing.assert_array_equal(position[1:][~ended[:-1]], following[:-1][~ended[:-1]])
    # Every kind of end is there, else the laws below would ask nothing.
    assert record.truncated.any()
    if policy != "stay":
        assert (record.terminated & ~record.truncated).any()
        assert (record.terminated & record.truncated).any() or not tells_both
        assert (position[1:][ended[:-1]] != following[:-1][ended[:-1]]).any()


def check_steps(record):
    """Asserts that each record is a step of the chain, whatever stands before and after it."""
    position, following = record.observation.argmax(-1), record.next_observation.argmax(-1)
    ahead = position + record.action
    np.testing.assert_array_equal(record.observation.sum(-1), 1)
    np.testing.assert_array_equal(following, np.minimum(ahead, LENGTH - 1))
    np.testing.assert_array_equal(record.terminated, ahead >= LENGTH)
    np.testing.assert_allclose(record.reward, np.where(record.action == 0, STAY, np.where(ahead >= LENGTH, GOAL, 0)))


def law_true_values_are_their_own_targets(subject, package):
    """A critic that knows the values is taught what it knows: zero after a termination, else the successor's."""
    for policy, values in VALUES.items():
        record = walk(subject.collect, package, policy)
        sample = evaluate(subject.PPO)(actor_critic(policy, values), record)
        np.testing.assert_allclose(sample.advantage, 0, atol=1e-5)
        np.testing.assert_allclose(sample.target, record.observation.reshape(-1, LENGTH) @ values, atol=1e-5)


def law_return_counts_the_rewards_of_its_own_episode(subject, package):
    """With λ = 1 and a critic that knows nothing, the target is what the episode still paid, and no more."""
    for policy in LOGITS:
        record = walk(subject.collect, package, policy)
        sample = evaluate(subject.PPO, gae_lambda=1.0)(actor_critic(policy, np.zeros(LENGTH)), record)
        wanted, later = np.zeros((TIME, LANES)), np.zeros(LANES)
        for now in reversed(range(TIME)):
            later = record.reward[now] + DISCOUNT * np.where(record.terminated[now] | record.truncated[now], 0, later)
            wanted[now] = later
        np.testing.assert_allclose(np.asarray(sample.target).reshape(TIME, LANES), wanted, atol=1e-5)


def law_best_action_values_have_no_error(subject, package):
    """The best action values solve Bellman's equation at every step that a random policy takes, ends included."""
    record = walk(subject.collect, package, "random")
    batch = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), record)
    for double in (True, False):
        np.testing.assert_allclose(td_errors(subject.DQN, double)(batch), 0, atol=1e-5)


@functools.cache
def td_errors(kind, double):
    """Compiles the temporal-difference errors of the best action values."""
    algorithm = dqn(Subject(DQN=kind), BEST_Q, double=double)
    state = algorithm.init(envs.Chain(**CHAIN).spaces, key=jax.random.key(0))
    settings = dict(step=jnp.zeros(()), key=jax.random.key(0))
    return laws.fast_jit(lambda record: algorithm.update(state, Batch(record), **settings)[2].priority)


def law_windows_of_n_steps_stop_at_ends(subject, package):
    """However many steps a window joins, with the true values at its end it gives the true value at its start."""

    @functools.partial(laws.fast_jit, static_argnums=2)
    def windows(record, values, n):
        discounts = jnp.where(record.terminated, 0.0, DISCOUNT)
        lambda_ = jnp.where(record.truncated, 0.0, 1.0)
        next_values = record.next_observation @ values
        joined = subject.n_step_transitions(record.reward, discounts, n, lambda_)
        index = jnp.arange(TIME)[:, None] + joined.steps - 1
        bootstrap = joined.discount * jnp.take_along_axis(next_values, index, axis=0)
        return joined.reward + bootstrap, subject.n_step_returns(record.reward, discounts, next_values, n, lambda_)

    for policy, values in VALUES.items():
        record = walk(subject.collect, package, policy)
        for n in (2, TIME_LIMIT + 1):
            for found in windows(record, jnp.asarray(values, jnp.float32), n):
                np.testing.assert_allclose(found, record.observation @ values, atol=1e-5)


LAWS = (
    law_no_transition_pairs_two_episodes,
    law_true_values_are_their_own_targets,
    law_return_counts_the_rewards_of_its_own_episode,
    law_best_action_values_have_no_error,
    law_windows_of_n_steps_stop_at_ends,
)
