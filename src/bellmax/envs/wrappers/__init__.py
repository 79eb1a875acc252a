"""Environments around environments: each changes one thing and passes the rest on, so they stack in any order."""

from ._actions import BoxToReals as BoxToReals
from ._actions import ClipAction as ClipAction
from ._actions import RescaleAction as RescaleAction
from ._discretise import DiscretiseAction as DiscretiseAction
from ._flatten import FlattenObservation as FlattenObservation
from ._frame_stack import FrameStack as FrameStack
from ._hide import HideObservation as HideObservation
from ._observations import ObservationDelay as ObservationDelay
from ._observations import ObservationNoise as ObservationNoise
from ._randomise import DomainRandomisation as DomainRandomisation
from ._repeat import ActionRepeat as ActionRepeat
from ._rewards import ClipReward as ClipReward
from ._rewards import TransformReward as TransformReward
from ._statistics import EpisodeStatistics as EpisodeStatistics
from ._sticky import StickyAction as StickyAction
from ._time_limit import TimeLimit as TimeLimit
from ._wrapper import AbstractActionWrapper as AbstractActionWrapper
from ._wrapper import AbstractObservationWrapper as AbstractObservationWrapper
from ._wrapper import AbstractRewardWrapper as AbstractRewardWrapper
from ._wrapper import AbstractWrapper as AbstractWrapper
from ._wrapper import WrapperState as WrapperState
