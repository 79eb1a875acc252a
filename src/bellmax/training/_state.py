"""Everything that a run needs to go on."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Key, PyTree

from .._core import Counter


class Shared(eqx.Module):
    """The half that is the same on every device.

    Attributes:
        algorithm: The algorithm's state.
        steps: Environment steps so far, over all lanes.
        key: The run's key; every step derives its own from it and from `steps`.
        knobs: Hyperparameters as arrays, in place of the trainer's; None where the trainer's hold.
    """

    algorithm: Any
    steps: Counter
    key: Key[Array, ""]
    knobs: Any = None


class Lane(eqx.Module):
    """One environment and what belongs to its present episode.

    Attributes:
        environment: State of the environment.
        observation: What the policy sees next.
        memory: The policy's recurrent memory.
        episode_return: Rewards of this episode so far.
        episode_length: Steps of this episode so far.
    """

    environment: Any
    observation: PyTree[Array]
    memory: PyTree[Array]
    episode_return: Float[Array, "*lanes"]
    episode_length: Float[Array, "*lanes"]


class Kept(eqx.Module):
    """What learning keeps of every lane.

    Attributes:
        replay: One replay memory a lane, or None.
        accumulators: What the algorithm adds up along each lane, or None.
    """

    replay: Any = None
    accumulators: Any = None


class Local(eqx.Module):
    """The half in which every leaf has a leading axis of lanes, to be cut into devices along it.

    Attributes:
        lanes: The environments.
        kept: What learning keeps of them.
    """

    lanes: Lane
    kept: Kept = Kept()


class TrainState(eqx.Module):
    """The state of a run. `TrainState(P(), P(axis))` is the whole sharding rule.

    Attributes:
        shared: The same on every device.
        local: With a leading axis of lanes.
    """

    shared: Shared
    local: Local


def halves(shared: Any, local: Any) -> Any:
    """Returns a tree that stands for a state's halves: partition specifications, mapped axes."""
    return TrainState(shared, local)
