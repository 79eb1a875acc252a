"""Rainbow: what improves deep Q-networks, all together."""

import equinox as eqx

from .._core import RealScalarLike
from ._c51 import AbstractC51


class Rainbow(AbstractC51):
    """Categorical Q-learning with double, dueling, noisy, n-step and prioritised, each of which may be switched off.

    Priorities are the cross-entropy of the projected target, which is the paper's Kullback-Leibler divergence and the
    target's own entropy. The paper raises `importance_exponent` to 1 over the run: set it to `linear:0.4:1`.

    Attributes:
        dueling: Whether the default network has a stream each for the value of the state and for the advantages.
        noisy: Whether to explore by noise of a learned scale in the weights instead of ε; a `network` of one's own
            must then have noisy layers.
        n_step: Rewards added up before the bootstrap; fewer where the episode ends.
        prioritised: Whether examples are replayed in proportion to a power of what there was to learn from them.
        priority_exponent: α, that power; 0 for uniform replay.
        adam_epsilon: ε of Adam, added to the root of its second moment.

    References:
        Hessel et al., *Rainbow: Combining Improvements in Deep Reinforcement Learning*, 2017, arXiv:1710.02298.
    """

    dueling: bool = eqx.field(static=True, default=True)
    noisy: bool = eqx.field(static=True, default=True)
    n_step: int = eqx.field(static=True, default=3)
    prioritised: bool = eqx.field(static=True, default=True)
    priority_exponent: RealScalarLike = 0.5
    adam_epsilon: RealScalarLike = 1.5e-4
