"""What every other folder stands on. Private: nothing here is promised to users."""

from ._checked import RealScalarLike as RealScalarLike
from ._checked import checked as checked
from ._checked import guard as guard
from ._counter import Counter as Counter
from ._gradient import gradient_step as gradient_step
from ._gradient import init_optimiser as init_optimiser
from ._gradient import value_and_grad as value_and_grad
from ._keys import lane_keys as lane_keys
from ._numerics import at_least_float32 as at_least_float32
from ._numerics import mix as mix
from ._numerics import multiply_no_nan as multiply_no_nan
from ._records import Batch as Batch
from ._records import Feedback as Feedback
from ._records import Transition as Transition
from ._reduce import Mean as Mean
from ._reduce import masked_mean as masked_mean
from ._reduce import pmean as pmean
from ._reduce import psum as psum
from ._reduce import standardise as standardise
from ._scan import model_scan as model_scan
from ._scan import reverse_scan as reverse_scan
from ._schedules import Scheduled as Scheduled
from ._schedules import value_at as value_at
from ._spaces import Spaces as Spaces
from ._spaces import clip_to as clip_to
from ._spaces import example as example
