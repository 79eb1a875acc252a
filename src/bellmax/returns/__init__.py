"""What a trajectory is worth: one reverse recurrence, and the estimators built on it.

Every function takes a leading time axis and any batch axes after it. An episode end is two numbers: the discount is 0
where the episode terminated, the trace parameter `lambda_` is 0 where it was truncated. Nothing here stops a gradient.
"""

from ._action_values import expected_sarsa_lambda_returns as expected_sarsa_lambda_returns
from ._action_values import q_lambda_returns as q_lambda_returns
from ._action_values import sarsa_lambda_returns as sarsa_lambda_returns
from ._action_values import watkins_q_lambda_returns as watkins_q_lambda_returns
from ._discounted import discounted_returns as discounted_returns
from ._gae import gae as gae
from ._lambda import lambda_returns as lambda_returns
from ._n_step import n_step_returns as n_step_returns
from ._n_step_transitions import NStepTransitions as NStepTransitions
from ._n_step_transitions import n_step_transitions as n_step_transitions
from ._off_policy import off_policy_returns as off_policy_returns
from ._off_policy import retrace_returns as retrace_returns
from ._sequences import extract_subsequences as extract_subsequences
from ._sequences import sample_start_indices as sample_start_indices
from ._sequences import valid_mask as valid_mask
from ._transformed import transformed as transformed
from ._tree_backup import q_sigma_returns as q_sigma_returns
from ._tree_backup import tree_backup_returns as tree_backup_returns
from ._upgo import upgo_returns as upgo_returns
from ._vtrace import VTrace as VTrace
from ._vtrace import vtrace as vtrace
