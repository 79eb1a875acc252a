"""How a run ends."""

import dataclasses
import signal

from ._evaluation import Evaluation


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        evaluation: The final one; None if the run was interrupted.
        interrupted_by: The signal that did.
        saved: Whether the run can go on where it was interrupted; None where it makes no checkpoints.
        already: Whether it had ended before.
    """

    evaluation: Evaluation | None
    interrupted_by: int | None = None
    saved: bool | None = None
    already: bool = False

    @property
    def exit_code(self) -> int:
        """0 if the run ended well, and after SIGTERM unless its checkpoint failed; else 128 plus the signal."""
        if self.interrupted_by is None or (self.interrupted_by == signal.SIGTERM and self.saved is not False):
            return 0
        return 128 + self.interrupted_by
