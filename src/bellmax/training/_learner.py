"""What learns, wherever its transitions come from."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._core import Batch, Counter, Mean, Spaces, Transition, pmean
from ..algorithms import AbstractAlgorithm, OffPolicy
from ..replay import AbstractReplay, PrioritisedReplay, UniformReplay
from ._learn import learn_off_policy, learn_on_policy
from ._state import Kept, Shared


def run_keys(key: Key[Array, ""]) -> tuple[Key[Array, ""], ...]:
    """Returns the keys of a run: of its networks, of its first episodes, and of all that follows."""
    return tuple(jax.random.split(key, 3))


@dataclasses.dataclass(frozen=True, eq=False)
class Learner:
    """The half of training that never sees an environment: it takes rollouts and learns from them.

    Attributes:
        algorithm: What learns.
        spaces: What can be seen and done.
        num_envs: Number of lanes.
    """

    algorithm: AbstractAlgorithm
    spaces: Spaces
    num_envs: int

    def __post_init__(self):
        if self.num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; got {self.num_envs}")
        needs = self.algorithm.requirements
        if isinstance(needs, OffPolicy):
            if needs.batch_size % self.num_envs:
                raise ValueError(
                    f"every lane gives as much to a batch, so num_envs must divide batch_size; got "
                    f"{self.num_envs} and {needs.batch_size}"
                )
            if min(needs.capacity, needs.warm_up) < self.num_envs * max(needs.rollout_length, 1):
                raise ValueError(
                    f"capacity and warm_up must be at least rollout_length times num_envs, "
                    f"{needs.rollout_length * self.num_envs}; got {needs.capacity} and {needs.warm_up}"
                )
            length = needs.sequence_length or 1
            room = self.num_envs * (needs.rollout_length + length - 1)
            if needs.capacity < room or needs.warm_up < self.num_envs * length:
                raise ValueError(
                    f"with sequences of {length} steps capacity must be at least {room} and warm_up at least "
                    f"{self.num_envs * length}; got {needs.capacity} and {needs.warm_up}"
                )

    @property
    def steps_per_call(self) -> int:
        """Environment steps of one rollout of all lanes."""
        return self.num_envs * self.algorithm.requirements.rollout_length

    def init(self, network_key: Key[Array, ""], run_key: Key[Array, ""]) -> Shared:
        """Draws the networks and starts counting."""
        return Shared(self.algorithm.init(self.spaces, key=network_key), Counter.zero(), run_key)

    def init_kept(self, transition: Transition) -> Kept:
        """Starts what is kept of every lane, for transitions like this one."""

        def of_lane(_):
            if isinstance(self.algorithm.requirements, OffPolicy):
                zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), transition)
                return Kept(replay=self._replay.init(zeros))
            return Kept(accumulators=self.algorithm.init_accumulators(self.spaces))

        return jax.vmap(of_lane)(jnp.arange(self.num_envs))

    def keys(self, shared: Shared) -> tuple[Key[Array, ""], Key[Array, ""]]:
        """Returns the keys of this call: one to collect with, one to learn with."""
        collect_key, learn_key = jax.random.split(shared.steps.fold_into(shared.key))
        return collect_key, learn_key

    def learn(
        self,
        shared: Shared,
        kept: Kept,
        transitions: Transition,
        memory: PyTree[Array],
        *,
        key: Key[Array, ""],
        axis_name: str | None = None,
    ) -> tuple[Shared, Kept, dict[str, Mean]]:
        """Learns from one rollout of every lane.

        Args:
            shared: The algorithm's state and the count of steps.
            kept: What is kept of every lane.
            transitions: With leading axes `time lanes`.
            memory: Recurrent memory of every lane at the start of the rollout.
            key: Randomness of the updates.
            axis_name: Name of the mapped device axis, or None.

        Returns:
            The next shared state, what is kept of every lane and the metrics of the updates.
        """
        step = shared.steps.as_float()
        if isinstance(self.algorithm.requirements, OffPolicy):
            memories = jax.vmap(self._replay.add, (0, 1))(kept.replay, transitions)
            algorithm, memories, metrics = learn_off_policy(
                self.algorithm, self._replay, shared.algorithm, memories, step=step, key=key, axis_name=axis_name
            )
            kept = Kept(replay=memories)
        else:
            batch = Batch(transitions, memory, kept.accumulators)
            algorithm, metrics, feedback = learn_on_policy(
                self.algorithm, shared.algorithm, batch, step=step, key=key, axis_name=axis_name
            )
            kept = Kept(accumulators=feedback.accumulators)
        shared = dataclasses.replace(shared, algorithm=algorithm, steps=shared.steps + self.steps_per_call)
        return shared, kept, pmean(metrics, axis_name)

    @property
    def _replay(self) -> AbstractReplay:
        """The memory of one lane."""
        needs = self.algorithm.requirements
        assert isinstance(needs, OffPolicy)
        sizes: Any = {
            "capacity": needs.capacity // self.num_envs,
            "sample_size": needs.batch_size // self.num_envs,
            "sequence_length": needs.sequence_length,
        }
        if needs.priority_exponent is None:
            return UniformReplay(**sizes)
        return PrioritisedReplay(exponent=needs.priority_exponent, **sizes)
