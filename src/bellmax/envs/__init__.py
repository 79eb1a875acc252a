"""Environments as two pure functions with explicit state, and adapters for those that other packages bring."""

from .._core import Spaces as Spaces
from ._make import make as make
from ._make import names as names
from ._protocol import AbstractEnvironment as AbstractEnvironment
from ._protocol import Step as Step
from ._toy import Bandit as Bandit
from ._toy import Chain as Chain
from ._toy import Recall as Recall
