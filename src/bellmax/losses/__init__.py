"""Predictions and targets in, one number an example out.

An `_error` is target minus prediction, a `_loss` is what to minimise; neither is averaged. In both the gradient of the
target is stopped, always. Reduce in one line: `loss.mean()`, `(weight * loss).mean()` or `masked_mean(loss, mask)`.
"""

from .._core import masked_mean as masked_mean
from ._policy_gradient import ppo_clip_loss as ppo_clip_loss
from ._q_learning import double_q_learning_error as double_q_learning_error
from ._q_learning import q_learning_error as q_learning_error
from ._value import clipped_value_loss as clipped_value_loss
from ._value import value_loss as value_loss
