"""Deep deterministic policy gradients."""

import equinox as eqx

from .._core import RealScalarLike
from ._td3 import AbstractDeterministicActorCritic


class DDPG(AbstractDeterministicActorCritic):
    r"""Deep deterministic policy gradients: one critic, and an actor that follows its slope.

    The critic learns $R + \gamma \bar Q(S', \bar\mu(S'))$, the actor climbs $Q(S, \mu(S))$. Where the paper has a
    larger rate for the critic, weight decay and layers of 400 and 300, rates and widths are choices here, weight decay
    is not there, and the noise is Gaussian unless asked otherwise. Actions are seen in halves of their range.

    References:
        Lillicrap et al., *Continuous Control with Deep Reinforcement Learning*, 2015, arXiv:1509.02971.
    """

    members: int = eqx.field(static=True, default=1)
    smoothing_stddev: RealScalarLike = 0.0
