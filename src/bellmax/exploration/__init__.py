"""Bonuses for what is new: features and counts in, one intrinsic reward an example out."""

from ._control import feature_control_rewards as feature_control_rewards
from ._control import pixel_control_rewards as pixel_control_rewards
from ._control import potential_reward as potential_reward
from ._counts import count_bonus as count_bonus
from ._counts import simhash as simhash
from ._counts import update_counts as update_counts
from ._curiosity import forward_dynamics_loss as forward_dynamics_loss
from ._curiosity import icm_bonus as icm_bonus
from ._curiosity import inverse_dynamics_loss as inverse_dynamics_loss
from ._episodic import EpisodicMemory as EpisodicMemory
from ._episodic import clear_episodic_memory as clear_episodic_memory
from ._episodic import episodic_novelty as episodic_novelty
from ._episodic import init_episodic_memory as init_episodic_memory
from ._rnd import rnd_bonus as rnd_bonus
