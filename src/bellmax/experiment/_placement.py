"""Which devices a run takes, and how."""

import dataclasses
from typing import Any

import jax

from ..training import Parallel, Trainer
from ._compile import compiled
from ._configuration import UsageError

_VIRTUAL = "JAX_NUM_CPU_DEVICES={devices} NPROC=16 makes a CPU pose as {devices}, without being any faster"


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a run is computed; its numbers do not depend on it, but for rounding.

    Attributes:
        devices: How many devices, of all processes together; None for all accelerators, or one CPU.
        how: `shard_map`, `pmap` or `jit`.
        spread: `lanes` or `seeds`; None for seeds where the devices divide them, else lanes.
        check_replicas: Every how many updates the copies of networks and statistics are compared; 0 for never.
    """

    devices: int | None = None
    how: str = "shard_map"
    spread: str | None = None
    check_replicas: int = 0

    def taken(self) -> list[Any]:
        """Returns the devices; raises `UsageError` where there are fewer."""
        present = jax.devices()
        alone = present[0].platform == "cpu" and jax.process_count() == 1
        count = self.devices if self.devices is not None else 1 if alone else len(present)
        if not 1 <= count <= len(present):
            hint = f"; {_VIRTUAL.format(devices=count)}" if present[0].platform == "cpu" and count > 1 else ""
            raise UsageError(f"devices must be from 1 to {len(present)}, as many as JAX sees here; got {count}{hint}")
        if jax.process_count() > 1 and count < len(present):
            raise UsageError(f"a run of several processes takes all of their {len(present)} devices; got {count}")
        if self.check_replicas < 0:
            raise UsageError(f"check_replicas must be at least 0; got {self.check_replicas}")
        return present[:count]

    def parallel(self, trainer: Trainer, seeds: int) -> Parallel:
        """Spreads a trainer; raises `UsageError` where it does not fit the devices."""
        devices = self.taken()
        count = len(devices)
        spread = self.spread or ("seeds" if seeds > 1 and seeds % count == 0 else "lanes")
        try:
            if spread == "seeds" and seeds % count:
                raise ValueError(f"seeds can be spread where the devices divide them; got {count} and {seeds}")
            return Parallel(trainer, devices, self.how, spread, compiler=compiled)  # pyright: ignore[reportArgumentType]
        except ValueError as error:
            raise UsageError(f"{error}; --devices N takes fewer devices") from error
