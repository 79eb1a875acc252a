"""Training as a pair of pure functions."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from .._core import Counter, Mean, lane_keys, pmean
from ..algorithms import AbstractAlgorithm, OffPolicy
from ..envs import AbstractEnvironment
from ..replay import UniformReplay
from ._collect import collect, start_lane
from ._learn import learn_off_policy, learn_on_policy
from ._state import Lane, Local, Shared, TrainState


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """Joins an algorithm and an environment.

    `init` makes the state of a run out of a key, `step` lets every lane act for the algorithm's rollout length and then
    learns. Both are pure: `jax.jit` compiles them, `jax.vmap` over keys trains many seeds at once, and a run cut in two
    equals the run in one, since the state holds everything and the randomness of a step comes from the count of steps.

    Attributes:
        algorithm: What learns.
        environment: What is acted on.
        num_envs: Number of lanes, each with one environment.

    Example:
        >>> from bellmax import algorithms, envs
        >>> trainer = Trainer(algorithms.PPO(rollout_length=8), envs.make("toy/bandit"), num_envs=4)
        >>> state = jax.jit(trainer.init)(jax.random.key(0))
        >>> state, metrics = jax.jit(trainer.step)(state)
        >>> int(state.shared.steps)
        32
    """

    algorithm: AbstractAlgorithm
    environment: AbstractEnvironment
    num_envs: int

    def __post_init__(self):
        if self.num_envs < 1:
            raise ValueError(f"Trainer: num_envs must be at least 1; got {self.num_envs}")
        needs = self.algorithm.requirements
        if isinstance(needs, OffPolicy):
            if needs.batch_size % self.num_envs:
                raise ValueError(
                    f"Trainer: every lane gives as much to a batch, so num_envs must divide batch_size; got "
                    f"{self.num_envs} and {needs.batch_size}"
                )
            if min(needs.capacity, needs.warm_up) < self.num_envs * max(needs.rollout_length, 1):
                raise ValueError(
                    f"Trainer: capacity and warm_up must be at least rollout_length times num_envs, "
                    f"{needs.rollout_length * self.num_envs}; got {needs.capacity} and {needs.warm_up}"
                )

    @property
    def steps_per_call(self) -> int:
        """Environment steps of one `step`."""
        return self.num_envs * self.algorithm.requirements.rollout_length

    def init(self, key: Key[Array, ""]) -> TrainState:
        """Makes the state of a run.

        Args:
            key: Everything random in the run comes from it.

        Returns:
            The state, of all lanes of all devices. Make it under `jit`, so that no two leaves share a buffer and it can
            be donated.
        """
        network_key, reset_key, run_key = jax.random.split(key, 3)
        spaces = self.environment.spaces
        keys = lane_keys(reset_key, self.num_envs)
        lanes = jax.vmap(lambda key: start_lane(self.algorithm, self.environment, key))(keys)
        shared = Shared(self.algorithm.init(spaces, key=network_key), Counter.zero(), run_key)
        return TrainState(shared, Local(lanes, self._init_replay(shared, lanes)))

    def step(self, state: TrainState, *, axis_name: str | None = None) -> tuple[TrainState, dict[str, Mean]]:
        """Acts and learns.

        Args:
            state: The state; with `axis_name`, its `local` half holds this device's lanes.
            axis_name: Name of the mapped device axis, or None.

        Returns:
            The next state, and the metrics with the weight that each has: finished episodes, or updates. Add metrics of
            several steps up and read `.value`.
        """
        shared, local = state.shared, state.local
        needs = self.algorithm.requirements
        collect_key, learn_key = jax.random.split(shared.steps.fold_into(shared.key))
        step = shared.steps.as_float()
        lanes, transitions, episodes = self._collect(
            shared, local.lanes, length=needs.rollout_length, key=collect_key, axis_name=axis_name
        )
        if isinstance(needs, OffPolicy):
            replay = self._replay(needs)
            memories = jax.vmap(replay.add, (0, 1))(local.replay, transitions)
            algorithm, metrics = learn_off_policy(
                self.algorithm, replay, shared.algorithm, memories, step=step, key=learn_key, axis_name=axis_name
            )
        else:
            memories = None
            algorithm, metrics = learn_on_policy(
                self.algorithm,
                shared.algorithm,
                transitions,
                local.lanes.memory,
                step=step,
                key=learn_key,
                axis_name=axis_name,
            )
        shared = Shared(algorithm, shared.steps + self.steps_per_call, shared.key)
        return TrainState(shared, Local(lanes, memories)), episodes | pmean(metrics, axis_name)

    def _replay(self, needs: OffPolicy) -> UniformReplay:
        return UniformReplay(needs.capacity // self.num_envs, needs.batch_size // self.num_envs)

    def _collect(self, shared: Shared, lanes: Lane, *, length: int, key: Key[Array, ""], axis_name: str | None = None):
        return collect(
            self.algorithm,
            self.environment,
            shared.algorithm,
            lanes,
            length=length,
            step=shared.steps.as_float(),
            steps_at_once=self.num_envs,
            key=key,
            axis_name=axis_name,
        )

    def _init_replay(self, shared: Shared, lanes: Lane):
        needs = self.algorithm.requirements
        if not isinstance(needs, OffPolicy):
            return None
        _, transitions, _ = jax.eval_shape(lambda: self._collect(shared, lanes, length=1, key=shared.key))
        transition = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[2:], leaf.dtype), transitions)
        return jax.vmap(lambda _: self._replay(needs).init(transition))(jnp.arange(self.num_envs))
