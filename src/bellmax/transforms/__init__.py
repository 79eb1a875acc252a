"""Invertible maps of values and actions, and the moments by which values are normalised.

A value transform is a pair, `ValueTransform(apply, invert)`. Moments are pytrees: they are updated by pure functions,
and merged by count across devices.
"""

from .._core import ValueTransform as ValueTransform
from ._box import box_to_reals as box_to_reals
from ._box import reals_to_box as reals_to_box
from ._box import reals_to_box_log_det as reals_to_box_log_det
from ._compose import affine_transform as affine_transform
from ._compose import compose_transforms as compose_transforms
from ._compose import identity_transform as identity_transform
from ._ema import EmaMoments as EmaMoments
from ._ema import init_ema_moments as init_ema_moments
from ._ema import update_ema_moments as update_ema_moments
from ._gradient_clip import clip_gradient as clip_gradient
from ._moments import Moments as Moments
from ._moments import init_moments as init_moments
from ._moments import merge_moments as merge_moments
from ._moments import update_moments as update_moments
from ._normalise import normalise as normalise
from ._normalise import unnormalise as unnormalise
from ._pairs import arcsinh_transform as arcsinh_transform
from ._pairs import discount_transform as discount_transform
from ._pairs import hyperbolic_transform as hyperbolic_transform
from ._pairs import log_transform as log_transform
from ._pairs import power_transform as power_transform
from ._pairs import symlog_transform as symlog_transform
from ._popart import PopArt as PopArt
from ._popart import init_popart as init_popart
from ._popart import update_popart as update_popart
from ._popart_outputs import popart_normalise as popart_normalise
from ._popart_outputs import popart_unnormalise as popart_unnormalise
from ._popart_outputs import rescale_output as rescale_output
from ._return_range import ReturnRange as ReturnRange
from ._return_range import init_return_range as init_return_range
from ._return_range import return_scale as return_scale
from ._return_range import update_return_range as update_return_range
from ._reward_scale import RewardScale as RewardScale
from ._reward_scale import init_reward_scale as init_reward_scale
from ._reward_scale import update_reward_scale as update_reward_scale
from ._scalar import signed_hyperbolic as signed_hyperbolic
from ._scalar import signed_parabolic as signed_parabolic
from ._scalar import signed_power as signed_power
from ._scalar import symexp as symexp
from ._scalar import symlog as symlog
from ._scale_reward import scale_reward as scale_reward
