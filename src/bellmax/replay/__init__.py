"""Memory of transitions."""

from ._prioritised import Priorities as Priorities
from ._prioritised import PrioritisedReplay as PrioritisedReplay
from ._prioritised import importance_weights as importance_weights
from ._protocol import AbstractReplay as AbstractReplay
from ._protocol import ReplayState as ReplayState
from ._protocol import Sample as Sample
from ._store import Finals as Finals
from ._store import Store as Store
from ._sum_tree import SumTree as SumTree
from ._uniform import UniformReplay as UniformReplay
