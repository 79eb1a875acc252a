"""What all distributions over one axis of independent dimensions share."""

import distrax
from jaxtyping import Array

from ._pytree import PytreeDistribution


class Independent(PytreeDistribution, distrax.Independent):
    """A distribution over actions with one axis of dimensions, each drawn by itself.

    The first leaf has the shape `*batch dimensions`. A subclass has the property `distribution`: one distrax
    distribution a dimension.
    """

    @property
    def _distribution(self):
        return self.distribution

    @property
    def reinterpreted_batch_ndims(self) -> int:
        """The action's one axis."""
        return 1

    @property
    def _reinterpreted_batch_ndims(self) -> int:
        return 1

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one action."""
        return self._first.shape[-1:]

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch axes."""
        return self._first.shape[:-1]

    @property
    def _first(self) -> Array:
        return getattr(self, self.leaves[0])
