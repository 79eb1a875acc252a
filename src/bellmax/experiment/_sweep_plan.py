"""What a sweep computes, and in which order."""

import dataclasses
from collections import Counter
from collections.abc import Mapping

from ..training import Trainer
from ._configuration import Configuration
from ._sweep_grid import as_text, value_of_knob
from ._sweep_programs import Passes, Program, passes_of, programs_of

_SHOWN = 20


@dataclasses.dataclass(frozen=True)
class Plan:
    """The programs of a sweep, one after another, and what each holds at once.

    Attributes:
        programs: With their passes.
        names: Of what is swept.
        seeds: Of each configuration.
        devices: Among which the members of a pass are divided.
    """

    programs: list[tuple[Program, Passes]]
    names: list[str]
    seeds: int
    devices: int

    @classmethod
    def of(
        cls,
        configurations: Mapping[int, Configuration],
        names: list[str],
        *,
        workers: int,
        devices: int,
        at_once: int | None,
    ) -> "Plan":
        """Makes the plan of some configurations of a sweep, by their place; what does not fit raises `UsageError`."""
        programs = programs_of(configurations, workers)
        seeds = next(iter(configurations.values())).seeds if configurations else 1
        with_passes = [(each, passes_of(len(each.places), seeds, devices, at_once)) for each in programs]
        return cls(with_passes, names, seeds, devices)

    def __str__(self) -> str:
        count = sum(len(program.places) for program, _ in self.programs)
        head = f"{_counted(count, 'configuration')} x {_counted(self.seeds, 'seed')}"
        if not self.programs:
            return head
        if not isinstance(self.programs[0][0].trainer, Trainer):
            return f"{head}, one after another: the environment is outside JAX"
        kinds = Counter((len(program.places) * self.seeds, len(passes.places)) for program, passes in self.programs)
        parts = [
            f"{number} x {_counted(members, 'member')}{f' in {passes} passes' if passes > 1 else ''}"
            for (members, passes), number in kinds.items()
        ]
        over = f" on {self.devices} devices" if self.devices > 1 else ""
        head = f"{head}: {_counted(len(self.programs), 'program')}, {', '.join(parts)}{over}"
        lines = [self._line(number, program) for number, (program, _) in enumerate(self.programs[:_SHOWN], 1)]
        if len(self.programs) > _SHOWN:
            lines.append(f"  ... and {len(self.programs) - _SHOWN:,} more")
        return "\n".join([head, *lines])

    def _line(self, number: int, program: Program) -> str:
        """Returns the values that a program holds."""
        values = {
            name: list(dict.fromkeys(as_text(value_of_knob(each, name)) for each in program.configurations))
            for name in self.names
        }
        texts = [f"{name.replace('_', '-')} {', '.join(each)}" for name, each in values.items()]
        return f"  program {number}: {'; '.join(texts)}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
