"""Environments as two pure functions with explicit state, and adapters for those that other packages bring."""

from .._core import Spaces as Spaces
from . import wrappers as wrappers
from ._brax import BraxEnvironment as BraxEnvironment
from ._checks import Finding as Finding
from ._checks import Report as Report
from ._checks import check_environment as check_environment
from ._gymnasium import GymnasiumEnvironment as GymnasiumEnvironment
from ._gymnasium import gymnasium_names as gymnasium_names
from ._gymnasium_vector import GymnasiumVectorEnv as GymnasiumVectorEnv
from ._gymnax import GymnaxEnvironment as GymnaxEnvironment
from ._host import AbstractHostEnvironment as AbstractHostEnvironment
from ._host import AbstractHostVectorEnv as AbstractHostVectorEnv
from ._host import HostEnvironmentError as HostEnvironmentError
from ._host import HostStep as HostStep
from ._host import lane_seeds as lane_seeds
from ._jumanji import JumanjiEnvironment as JumanjiEnvironment
from ._make import check_name as check_name
from ._make import make as make
from ._make import names as names
from ._playground import PlaygroundEnvironment as PlaygroundEnvironment
from ._protocol import AbstractEnvironment as AbstractEnvironment
from ._protocol import Step as Step
from ._toy import Bandit as Bandit
from ._toy import Chain as Chain
from ._toy import Recall as Recall
from ._xminigrid import XMiniGridEnvironment as XMiniGridEnvironment
