"""Training on environments that are not JAX: what is compiled."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PyTree

from .._core import Mean, Transition, clip_to, example, lane_keys
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractHostEnvironment, AbstractHostVectorEnv
from ..training import Kept, Learner, Local, Shared, TrainState, run_keys
from ._compile import compiled

OUTSIDE: Any = None
"""What `Local.lanes` is where the environments are not JAX and are no part of the state."""


class Keys(NamedTuple):
    """The randomness of one rollout, as plain words: typed keys cost more to pass to a compiled function.

    Attributes:
        collect: Of acting.
        learn: Of learning.
        act: Of each action, leading axes `time lanes`; more steps than the rollout's derive theirs from `collect`.
    """

    collect: Array
    learn: Array
    act: Array


class Learned(NamedTuple):
    """What goes from update to update, and is donated each time.

    Attributes:
        shared: The algorithm's state and the count of steps, as leaves.
        kept: What learning keeps of every lane, as leaves.
        totals: Metrics of the updates since they were last read, as leaves.
    """

    shared: list[Array]
    kept: list[Array]
    totals: list[Array]


@dataclasses.dataclass(frozen=True, eq=False)
class HostTrainer:
    """Joins an algorithm and an environment that is not JAX.

    The algorithm acts and learns in compiled functions, with the keys of `training.Trainer`; the environments step in
    this process or in `workers` others, with the same numbers. Unlike `Trainer`, a run cut in two does not equal the
    run in one: the state of an environment outside JAX cannot be kept.

    Attributes:
        algorithm: What learns.
        environment: What is acted on: how to make lanes of it, or lanes that are there already.
        num_envs: Number of lanes.
        workers: Processes that step the environments; 0 for this one.
    """

    algorithm: AbstractAlgorithm
    environment: AbstractHostEnvironment | AbstractHostVectorEnv
    num_envs: int
    workers: int = 0

    def __post_init__(self):
        if isinstance(self.environment, AbstractHostVectorEnv):
            if self.environment.num_envs != self.num_envs:
                raise ValueError(
                    f"HostTrainer: num_envs is {self.num_envs}, but the environment has {self.environment.num_envs} "
                    "lanes"
                )
            if self.workers:
                raise ValueError("HostTrainer: lanes that are there already cannot move to workers; workers must be 0")
        if not 0 <= self.workers <= self.num_envs:
            raise ValueError(f"HostTrainer: workers must be in [0, num_envs {self.num_envs}]; got {self.workers}")
        if not isinstance(self.environment, AbstractHostEnvironment | AbstractHostVectorEnv):
            raise TypeError(f"HostTrainer: {self.environment!r} is no environment outside JAX; use training.Trainer")
        _ = self.learner  # what does not fit shows at once

    @functools.cached_property
    def learner(self) -> Learner:
        """The half that learns."""
        return Learner(self.algorithm, self.environment.spaces, self.num_envs)

    @property
    def steps_per_call(self) -> int:
        """Environment steps of one rollout and update."""
        return self.learner.steps_per_call

    def init(self, key: Key[Array, ""]) -> TrainState:
        """Makes the state of a run, but for the environments: its `local.lanes` is None."""
        network_key, _, run_key = run_keys(key)
        shared = self.learner.init(network_key, run_key)
        transition = jax.eval_shape(self._transition, shared.algorithm)
        return TrainState(shared, Local(OUTSIDE, self.learner.init_kept(transition)))

    def _learn_from_zeros(self, state: TrainState) -> tuple[TrainState, dict[str, Mean]]:
        """Learns from a rollout of zeros: for `jax.eval_shape` only."""
        transition = self._transition(state.shared.algorithm)
        length = self.algorithm.requirements.rollout_length
        rollout = jax.tree.map(lambda leaf: jnp.zeros((length, self.num_envs, *leaf.shape), leaf.dtype), transition)
        shared, kept, metrics = self.learner.learn(
            state.shared, state.local.kept, rollout, self.init_memory(), key=state.shared.key
        )
        return TrainState(shared, Local(OUTSIDE, kept)), metrics

    def init_memory(self) -> PyTree[Array]:
        """Returns every lane's recurrent memory at the start of an episode."""
        memory = self.algorithm.init_memory(self.environment.spaces)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (self.num_envs, *jnp.shape(leaf))), memory)

    @functools.cached_property
    def programs(self) -> "Programs":
        """The compiled functions, the same for every seed."""
        return Programs(self)

    def _transition(self, state: Any) -> Transition:
        spaces = self.environment.spaces
        observation, memory = example(spaces.observation), self.algorithm.init_memory(spaces)
        step, key = jnp.zeros(()), jax.random.key(0)
        action, extras, _ = self.algorithm.act(state, observation, memory, step=step, key=key)
        end = jnp.zeros((), bool)
        return Transition(observation, action, jnp.zeros((), jnp.float32), observation, end, end, extras)


class Programs:
    """The compiled functions of a trainer, over plain lists of arrays: walking through modules at every step is dear.

    Attributes:
        act: Chooses every lane's action.
        learn: Learns from one rollout.
        start: Makes the first `Learned` and `Keys` of a key.
        has_memory: Whether the policy remembers.
    """

    def __init__(self, trainer: HostTrainer):
        self.trainer = trainer
        state = jax.eval_shape(trainer.init, jax.random.key(0))
        metrics = jax.eval_shape(trainer._learn_from_zeros, state)[1]
        self._algorithm = jax.tree.structure(state.shared.algorithm)
        self._counter = jax.tree.structure(state.shared.steps)
        self._kept = jax.tree.structure(state.local.kept)
        self._metrics = metrics
        self.has_memory = bool(jax.tree.leaves(jax.eval_shape(trainer.init_memory)))
        self.start = compiled(self._start)
        self.act = compiled(self._act)
        self.learn = compiled(self._learn, donate_argnums=0)
        self.more_keys = compiled(self._more_keys)

    def state(self, learned: Learned, key: Key[Array, ""]) -> TrainState:
        """Returns the state of the run as a tree."""
        counter = jax.tree.unflatten(self._counter, learned.shared[-self._counter.num_leaves :])
        algorithm = jax.tree.unflatten(self._algorithm, learned.shared[: -self._counter.num_leaves])
        return TrainState(Shared(algorithm, counter, key), Local(OUTSIDE, jax.tree.unflatten(self._kept, learned.kept)))

    def metrics(self, learned: Learned) -> dict[str, Mean]:
        """Returns the metrics of the updates."""
        return jax.tree.unflatten(jax.tree.structure(self._metrics), learned.totals)

    def zero_totals(self) -> list[Array]:
        """Returns no metrics yet."""
        return [jnp.zeros(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(self._metrics)]

    def _start(self, key):
        state = self.trainer.init(key)
        learned = self._flat(state.shared, state.local.kept, self.zero_totals())
        return learned, jax.random.key_data(state.shared.key), self._keys(state.shared)

    def _act(self, shared, observation, memory, kept, first, unfilled, keys, time):
        """Chooses actions; memory is forgotten where an episode begins, kept as it was at a lane's first transition."""
        algorithm, spaces = self.trainer.algorithm, self.trainer.environment.spaces
        state = jax.tree.unflatten(self._algorithm, shared[: -self._counter.num_leaves])
        counter = jax.tree.unflatten(self._counter, shared[-self._counter.num_leaves :])
        step = counter.as_float() + time * self.trainer.num_envs
        if self.has_memory:
            memory = where_lanes(first, self.trainer.init_memory(), memory)
            kept = where_lanes(unfilled, memory, kept)
        act_keys = jax.random.wrap_key_data(keys[time % keys.shape[0]])

        def act(observation, memory, key):
            return algorithm.act(state, observation, memory, step=step, key=key)

        action, extras, memory = jax.vmap(act)(observation, memory, act_keys)
        border = clip_to(spaces.action, action)
        same = all(map(lambda one, two: one is two, jax.tree.leaves(border), jax.tree.leaves(action)))
        return action, None if same else border, extras, memory, kept

    def _learn(self, learned, key, keys, rollout, memory):
        state = self.state(learned, jax.random.wrap_key_data(key))
        shared, kept, metrics = self.trainer.learner.learn(
            state.shared, state.local.kept, Transition(**rollout), memory, key=jax.random.wrap_key_data(keys)
        )
        totals = [total + leaf for total, leaf in zip(learned.totals, jax.tree.leaves(metrics), strict=True)]
        return self._flat(shared, kept, totals), self._keys(shared)

    def _flat(self, shared: Shared, kept: Kept, totals: list[Array]) -> Learned:
        leaves = [*jax.tree.leaves(shared.algorithm), *jax.tree.leaves(shared.steps)]
        return Learned(leaves, jax.tree.leaves(kept), totals)

    def _keys(self, shared: Shared) -> Keys:
        collect, learn = self.trainer.learner.keys(shared)
        data = jax.random.key_data(collect)
        return Keys(data, jax.random.key_data(learn), self._more_keys(data, 0))

    def _more_keys(self, collect, block):
        """Returns the keys of a block of steps, each lane's from its index, as `training` derives them."""
        length, lanes = self.trainer.algorithm.requirements.rollout_length, self.trainer.num_envs

        act_key = jax.random.split(jax.random.wrap_key_data(collect), 3)[0]
        times = jax.vmap(jax.random.fold_in, (None, 0))(act_key, block * length + jnp.arange(length))
        return jax.random.key_data(jax.vmap(lambda key: lane_keys(key, lanes))(times))


def where_lanes(lanes: Bool[Array, " lanes"], one: PyTree[Array], other: PyTree[Array]) -> PyTree[Array]:
    """Takes some lanes from one tree, the rest from the other."""

    def choose(a, b):
        return jnp.where(lanes.reshape(-1, *[1] * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, one, other)
