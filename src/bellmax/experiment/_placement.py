"""Which devices a run takes, and how."""

from typing import Any

import jax

from ..training import Parallel, Trainer
from ._compile import compiled
from ._configuration import UsageError
from ._settings import Settings

_VIRTUAL = "JAX_NUM_CPU_DEVICES={count} NPROC=16 makes a CPU pose as {count}, without being any faster"


def devices_of(settings: Settings) -> list[Any]:
    """Returns the devices that the settings ask for; raises `UsageError` where there are fewer."""
    present = jax.devices()
    one_is_all = present[0].platform == "cpu" and jax.process_count() == 1
    count = settings.devices if settings.devices is not None else 1 if one_is_all else len(present)
    if not 1 <= count <= len(present):
        hint = f"; {_VIRTUAL.format(count=count)}" if present[0].platform == "cpu" and count > 1 else ""
        raise UsageError(f"devices must be from 1 to {len(present)}, as many as JAX sees here; got {count}{hint}")
    if jax.process_count() > 1 and count < len(present):
        raise UsageError(f"a run of several processes takes all of their {len(present)} devices; got {count}")
    if jax.process_count() > 1 and settings.how == "pmap":
        raise UsageError("pmap trains in one process; several take shard_map or jit")
    return present[:count]


def spread_over_devices(trainer: Trainer, seeds: int, settings: Settings) -> Parallel:
    """Spreads a trainer over the devices that the settings ask for; raises `UsageError` where it does not fit them."""
    devices = devices_of(settings)
    count = len(devices)
    spread = settings.spread or ("seeds" if seeds > 1 and seeds % count == 0 else "lanes")
    if spread == "seeds" and seeds % count:
        raise UsageError(f"seeds can be spread where the devices divide them; got {count} devices and {seeds} seeds")
    try:
        return Parallel(trainer, devices, settings.how, spread, compiler=compiled)
    except ValueError as error:
        raise UsageError(f"{error}; --devices N takes another number of devices") from error
