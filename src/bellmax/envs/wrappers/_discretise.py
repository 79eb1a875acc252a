"""Continuous actions as choices."""

from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._protocol import AbstractEnvironment
from ._boxes import bounds
from ._wrapper import AbstractActionWrapper

if TYPE_CHECKING:
    from gymnasium import Space


class DiscretiseAction(AbstractActionWrapper):
    r"""Cuts each dimension of a Box of actions into bins of equal width and takes the number of a bin.

    $$a_i = l_i + (h_i - l_i)\,\frac{k_i + u_i}{n_i}, \qquad k_i \in \{0, \dots, n_i - 1\}$$

    With jitter $u_i$ is uniform in [0, 1), so that no action inside the box is out of reach; without it is one half,
    the middle of the bin. The actions are Discrete if the Box has one dimension, else MultiDiscrete.

    Attributes:
        environment: The one inside; its actions are a Box with finite bounds, of any shape.
        bins: How many bins each dimension has, one number for all or one each.
        jitter: Whether $u$ is drawn.

    Example:
        >>> from bellmax import envs
        >>> DiscretiseAction(envs.make("Pendulum-v1"), 5).spaces.action
        Discrete(5)
    """

    environment: AbstractEnvironment
    bins: tuple[int, ...] = eqx.field(static=True)
    jitter: bool = eqx.field(static=True)

    def __init__(self, environment: AbstractEnvironment, bins: int | tuple[int, ...], jitter: bool = True):
        """Cuts; TypeError or ValueError if actions are no Box with finite bounds or the bins do not fit it."""
        low, _ = bounds(environment.spaces.action, "DiscretiseAction")
        self.environment = environment
        self.bins = (int(bins),) * low.size if isinstance(bins, int | np.integer) else tuple(map(int, bins))
        self.jitter = jitter
        if len(self.bins) != low.size or min(self.bins, default=0) < 1:
            raise ValueError(
                f"DiscretiseAction: bins must be one number above 0, or one for each of {low.size} dimensions; "
                f"got {bins}"
            )

    def action_space(self, space: "Space[Any]") -> "Space[Any]":
        """Returns the space of the bins."""
        from gymnasium import spaces

        del space
        return spaces.Discrete(self.bins[0]) if len(self.bins) == 1 else spaces.MultiDiscrete(list(self.bins))

    def translate(self, action: Int[Array, "..."], *, key: Key[Array, ""]) -> Float[Array, "..."]:
        """Returns a point of the bin."""
        low, high = bounds(self.environment.spaces.action, "DiscretiseAction")
        place = jax.random.uniform(key, low.shape) if self.jitter else 0.5
        share = (action.reshape(low.shape) + place) / np.asarray(self.bins, np.float32).reshape(low.shape)
        return jnp.clip(low + (high - low) * share, low, high)
