"""What of a sweep is compiled into one program."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from ..training import Trainer
from ._configuration import Configuration, UsageError
from ._folder import seed_keys
from ._host_trainer import HostTrainer
from ._sweep_grid import RUN_KNOBS, value_of_knob


@dataclasses.dataclass(frozen=True)
class Program:
    """Configurations that differ in numbers only, so that one compiled program trains them all.

    A member is a configuration with one seed.

    Attributes:
        trainer: That of the first configuration.
        places: Which configurations of the sweep.
        configurations: They themselves.
        knobs: What differs, as `Trainer.with_knobs` takes it; every array has a leading axis of configurations.
    """

    trainer: Trainer | HostTrainer
    places: list[int]
    configurations: list[Configuration]
    knobs: PyTree[Any]

    def members(self, places: list[int], count: int) -> tuple[Key[Array, " members"], PyTree[Array]]:
        """Returns the keys and the knobs of members, configuration by configuration and seed by seed.

        Args:
            places: Which of this program's configurations.
            count: How many members; the first ones are repeated as often as that takes.
        """
        keys = seed_keys(self.configurations[0])
        seeds = len(keys)
        member = np.resize(np.arange(len(places) * seeds), count)
        which = np.asarray(places)[member // seeds]
        return keys[member % seeds], jax.tree.map(lambda leaf: leaf[which], self.knobs)


@dataclasses.dataclass(frozen=True)
class Passes:
    """How a program takes its configurations: some at once, then the next.

    Attributes:
        places: Which of the program's configurations each pass holds.
        members: How many members each pass computes; the same for all, so that one compilation serves.
    """

    places: list[list[int]]
    members: int


def programs_of(configurations: Mapping[int, Configuration], workers: int = 0) -> list[Program]:
    """Puts configurations together that differ in nothing but numbers, in the order of their first.

    Sizes, switches and words belong to the program, and so do `num_envs` and `steps`; whether something is a number or
    a schedule does too.

    Args:
        configurations: Of a sweep, by their place.
        workers: Processes that step environments outside JAX.

    Raises:
        UsageError: If a value does not fit; every value is looked at before anything is trained.
    """
    algorithms = {place: each.make_algorithm() for place, each in configurations.items()}
    groups: dict[Any, list[int]] = {}
    for place, each in configurations.items():
        alike = jax.tree.structure(algorithms[place]), each.num_envs, each.steps
        groups.setdefault(alike, []).append(place)
    trainers = _checked(configurations, {places[0] for places in groups.values()}, workers)
    return [
        Program(
            trainers[places[0]],
            places,
            [configurations[place] for place in places],
            stacked([algorithms[place] for place in places]),
        )
        for places in groups.values()
    ]


def stacked(algorithms: list[Any]) -> Any:
    """Returns what differs between algorithms of one structure along a leading axis, and None for what does not."""

    def stack(*leaves):
        return None if len(set(leaves)) == 1 else np.asarray(leaves, jax.dtypes.canonicalize_dtype(float))

    return jax.tree.map(stack, *algorithms)


def passes_of(count: int, seeds: int, devices: int, at_once: int | None) -> Passes:
    """Divides a program's configurations into passes of much the same size.

    Args:
        count: Configurations.
        seeds: Of each.
        devices: Among which the members are divided.
        at_once: How many members one device may hold; None for all.

    Returns:
        The passes.

    Raises:
        UsageError: If not even one configuration may be held.
    """
    most = count
    if at_once is not None:
        most = at_once * devices // seeds
        if most < 1:
            raise UsageError(
                f"at_once must be at least {-(-seeds // devices)}, which is one configuration with {seeds} seeds on "
                f"{devices} device{'s' * (devices > 1)}; got {at_once}"
            )
    number = -(-count // most)
    size = -(-count // number)
    places = [list(range(start, min(start + size, count))) for start in range(0, count, size)]
    return Passes(places, -(-size * seeds // devices) * devices)


def _checked(
    configurations: Mapping[int, Configuration], firsts: set[int], workers: int
) -> dict[int, Trainer | HostTrainer]:
    """Makes the trainers that are needed, and as many others as show each value once: tracing one takes a second."""
    seen, trainers = set(), {}
    for place, each in configurations.items():
        values = {(name, str(value_of_knob(each, name))) for name in [*RUN_KNOBS, *each.hyperparameters]}
        if place in firsts or values - seen:
            trainers[place] = each.trainer(workers)
            seen |= values
    return trainers
