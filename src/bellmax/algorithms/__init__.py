"""Algorithms: hyperparameters with pure methods, blind to environments, replay and loops."""

from .._core import Batch as Batch
from .._core import Feedback as Feedback
from .._core import Spaces as Spaces
from .._core import Transition as Transition
from .._core import functions_as_nodes as functions_as_nodes
from .._core import gradient_step as gradient_step
from .._core import init_optimiser as init_optimiser
from .._core import lane_keys as lane_keys
from .._core import standardise as standardise
from .._core import value_and_grad as value_and_grad
from ._contract import AbstractAlgorithm as AbstractAlgorithm
from ._contract import OffPolicy as OffPolicy
from ._contract import OnPolicy as OnPolicy
from ._dqn import DQN as DQN
from ._dqn import DQNState as DQNState
from ._networks import ActorCritic as ActorCritic
from ._ppo import PPO as PPO
from ._ppo import PPOState as PPOState
