"""Training as a pair of pure functions."""

import dataclasses
import functools

import equinox as eqx
import jax
from jaxtyping import Array, Key, PyTree

from .._core import Mean, lane_keys
from ..algorithms import AbstractAlgorithm
from ..envs import AbstractEnvironment
from ._collect import collect, start_lane
from ._learner import Learner, run_keys
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
        if not isinstance(self.environment, AbstractEnvironment):
            kind = type(self.environment).__name__
            raise TypeError(f"Trainer: the environment, a {kind}, is not JAX; use experiment.HostTrainer")
        _ = self.learner  # what does not fit shows at once

    @functools.cached_property
    def learner(self) -> Learner:
        """The half that learns."""
        return Learner(self.algorithm, self.environment.spaces, self.num_envs)

    @property
    def steps_per_call(self) -> int:
        """Environment steps of one `step`."""
        return self.learner.steps_per_call

    def with_knobs(self, knobs: PyTree[Array] | None) -> "Trainer":
        """Returns a trainer with other hyperparameters.

        Args:
            knobs: An algorithm with an array for each hyperparameter that is another, and None for every other leaf,
                as `eqx.partition` makes it; or None. The arrays may be traced.
        """
        if knobs is None:
            return self
        return dataclasses.replace(self, algorithm=eqx.combine(knobs, self.algorithm))

    def init(self, key: Key[Array, ""], knobs: PyTree[Array] | None = None) -> TrainState:
        """Makes the state of a run.

        Args:
            key: Everything random in the run comes from it.
            knobs: Hyperparameters of this run, as `with_knobs` takes them; the state carries them. `jax.vmap` over both
                arguments trains several hyperparameters at once.

        Returns:
            The state, of all lanes of all devices. Make it under `jit`, so that no two leaves share a buffer and it can
            be donated.
        """
        if knobs is not None:
            state = self.with_knobs(knobs).init(key)
            return TrainState(dataclasses.replace(state.shared, knobs=knobs), state.local)
        network_key, reset_key, run_key = run_keys(key)
        keys = lane_keys(reset_key, self.num_envs)
        lanes = jax.vmap(lambda key: start_lane(self.algorithm, self.environment, key))(keys)
        shared = self.learner.init(network_key, run_key)
        _, transitions, _ = jax.eval_shape(lambda: self._collect(shared, lanes, length=1, key=run_key))
        one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[2:], leaf.dtype), transitions)
        return TrainState(shared, Local(lanes, self.learner.init_kept(one)))

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
        trainer = self.with_knobs(shared.knobs)
        collect_key, learn_key = trainer.learner.keys(shared)
        length = trainer.algorithm.requirements.rollout_length
        lanes, transitions, episodes = trainer._collect(
            shared, local.lanes, length=length, key=collect_key, axis_name=axis_name
        )
        shared, kept, metrics = trainer.learner.learn(
            shared, local.kept, transitions, local.lanes.memory, key=learn_key, axis_name=axis_name
        )
        return TrainState(shared, Local(lanes, kept)), episodes | metrics

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
