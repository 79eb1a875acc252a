"""How a run is carried out; its numbers do not depend on it."""

import dataclasses
import math

from ..training import How, Spread
from ._configuration import UsageError
from ._flags import check_episodes

DEVICES = ("devices", "how", "spread", "check_replicas", "step_timeout")
"""The settings that may be other ones when a run goes on."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run does beside training. The agent does not depend on it.

    Attributes:
        episodes: Episodes of each seed in the final evaluation.
        workers: Processes that step environments outside JAX.
        checkpoint_every: Seconds between checkpoints; 0 for none.
        keep: How many of the newest checkpoints to keep; the one with the best episode return is kept too.
        devices: How many devices, of all processes together; None for all accelerators, or one CPU.
        how: How devices are told what to do: `shard_map`, `pmap` or `jit`.
        spread: What is spread over them: `lanes` or `seeds`; None for seeds where the devices divide them, else lanes.
        check_replicas: Every how many updates the copies of networks and statistics are compared; 0 for never.
        step_timeout: Seconds that a piece of work of a run of several processes may take; 0 for no limit.
        log: Names of the log back ends that get rows beside `metrics.jsonl`, with commas between them.
    """

    episodes: int = 128
    workers: int = 0
    checkpoint_every: float = 60.0
    keep: int = 2
    devices: int | None = None
    how: How = "shard_map"
    spread: Spread | None = None
    check_replicas: int = 0
    step_timeout: float = 300.0
    log: str = ""

    def __post_init__(self):
        check_episodes(self.episodes)
        if not (math.isfinite(self.checkpoint_every) and self.checkpoint_every >= 0):
            raise UsageError(f"checkpoint-every must be seconds, or 0 for none; got {self.checkpoint_every:g}")
        if self.keep < 1:
            raise UsageError(f"keep must be at least 1; got {self.keep}")
        if self.check_replicas < 0:
            raise UsageError(f"check-replicas must be at least 0; got {self.check_replicas}")
        if not (math.isfinite(self.step_timeout) and self.step_timeout >= 0):
            raise UsageError(f"step-timeout must be seconds, or 0 for no limit; got {self.step_timeout:g}")
