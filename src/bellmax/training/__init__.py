"""Loops over algorithms and environments, all pure: training, and evaluation."""

from ._chunk import train_chunk as train_chunk
from ._evaluate import Episodes as Episodes
from ._evaluate import evaluate as evaluate
from ._learner import Learner as Learner
from ._learner import run_keys as run_keys
from ._parallel import How as How
from ._parallel import Parallel as Parallel
from ._parallel import Spread as Spread
from ._parallel import local_copy as local_copy
from ._replicas import assert_replicated as assert_replicated
from ._replicas import check_step as check_step
from ._state import Kept as Kept
from ._state import Lane as Lane
from ._state import Local as Local
from ._state import Shared as Shared
from ._state import TrainState as TrainState
from ._trainer import Trainer as Trainer
