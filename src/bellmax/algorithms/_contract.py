"""What an algorithm is."""

import abc
from typing import Any, Generic, TypeVar

import equinox as eqx
from jaxtyping import Array, Float, Key, PyTree

from .._core import Batch, Feedback, RealScalarLike, Scheduled, Spaces

State = TypeVar("State")


class OnPolicy(eqx.Module):
    """Learns from what its own policy just did.

    Attributes:
        rollout_length: Steps of each lane between updates.
    """

    rollout_length: int = eqx.field(static=True)


class OffPolicy(eqx.Module):
    """Learns from a replay memory.

    Attributes:
        rollout_length: Steps of each lane between rounds of updates.
        updates: Updates in a round.
        batch_size: Transitions an update, over all lanes of all devices.
        capacity: Transitions kept, over all lanes.
        warm_up: Environment steps, over all lanes, that are only kept: the first update follows the first round that
            begins after them.
        sequence_length: Consecutive steps of one lane an example; the batch then has leading axes `time batch`. None
            for single steps, leading axis `batch`.
        priority_exponent: α of prioritised replay: an example is drawn in proportion to its priority, from
            `Feedback.priority`, to the power α. None for uniform replay.
        importance_exponent: β of prioritised replay, a number or a schedule over environment steps: `Batch.weight` is
            proportional to the probability of the example to the power −β, and at most 1.
    """

    rollout_length: int = eqx.field(static=True)
    updates: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    capacity: int = eqx.field(static=True)
    warm_up: int = eqx.field(static=True)
    sequence_length: int | None = eqx.field(static=True, default=None)
    priority_exponent: RealScalarLike | None = None
    importance_exponent: Scheduled = 1.0


class AbstractAlgorithm(eqx.Module, Generic[State]):
    """Hyperparameters, and pure methods over a state.

    The state is what the next step needs, the metrics are what a person wants to see. An algorithm never sees an
    environment, a replay memory or a logger, and reads its environment only as spaces. Its constructor can be traced:
    hyperparameters that are not sizes may be arrays, so `jax.vmap` sweeps them.
    """

    @property
    @abc.abstractmethod
    def requirements(self) -> OnPolicy | OffPolicy:
        """What the trainer must bring; static."""

    @abc.abstractmethod
    def init(self, spaces: Spaces, *, key: Key[Array, ""]) -> State:
        """Draws the networks and starts the optimiser.

        Args:
            spaces: What can be seen and done.
            key: Randomness of the networks.

        Returns:
            The state.
        """

    def init_memory(self, spaces: Spaces) -> PyTree[Array]:
        """Returns the recurrent memory at the start of an episode, for one lane; None without."""
        del spaces

    def init_accumulators(self, spaces: Spaces) -> PyTree[Array]:
        """Returns what is added up along one lane, from update to update and over the ends of episodes; None without.

        The trainer keeps it beside the lane, on the lane's device, and hands it to `update` in `Batch.accumulators`,
        which returns the next in `Feedback.accumulators`. On-policy only.
        """
        del spaces

    @abc.abstractmethod
    def act(
        self,
        state: State,
        observation: PyTree[Array],
        memory: PyTree[Array],
        *,
        step: Float[Array, ""],
        key: Key[Array, ""],
        explore: bool = True,
    ) -> tuple[PyTree[Array], Any, PyTree[Array]]:
        """Chooses an action for one observation of one lane.

        Args:
            state: The state.
            observation: One observation.
            memory: Recurrent memory, from `init_memory` or the last step of the same episode.
            step: Count of environment steps, for schedules.
            key: Randomness of the choice.
            explore: Whether to sample as in training; else the policy's mode.

        Returns:
            The action as sampled, what `update` will want to see again (None for nothing), and the memory.
        """

    @abc.abstractmethod
    def update(
        self, state: State, batch: Batch, *, step: Float[Array, ""], key: Key[Array, ""], axis_name: str | None = None
    ) -> tuple[State, dict[str, Float[Array, ""]], Feedback]:
        """Learns from a batch.

        Args:
            state: The state.
            batch: Transitions with leading axes `time lanes` on-policy, `batch` off-policy, `time batch` of sequences.
            step: Count of environment steps before this round of acting, for schedules.
            key: Randomness of the update, the same on every device.
            axis_name: Name of the mapped device axis, or None.

        Returns:
            The next state, scalar metrics, and what the trainer should know.
        """
