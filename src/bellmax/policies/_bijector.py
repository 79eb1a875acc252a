"""The map between the reals and a box, for distrax."""

from typing import Any

import distrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from .._core import at_least_float32
from ..transforms import box_to_reals, reals_to_box, reals_to_box_log_det


@jax.tree_util.register_pytree_with_keys_class
class RealsToBox(distrax.Bijector):
    r"""Squeezes real actions into a box, as a distrax bijector over actions with one axis of dimensions.

    $$a = l + (h - l)\,\sigma(x), \qquad
      \log\left|\frac{\partial a}{\partial x}\right| = \sum_i \log(h_i - l_i) + \log\sigma(x_i) + \log\sigma(-x_i)$$

    `distrax.Transformed(gaussian(mu, logvar), RealsToBox(low, high))` is a policy on the box;
    `squashed_gaussian(mu / 2, logvar - log(4), low, high)` is the same one, with an entropy and a mode. The inverse is
    finite at the bounds. The maps themselves are in `bellmax.transforms`. Its leaves are the bounds, and nothing else
    is kept: it passes every transform of JAX and Equinox.

    Attributes:
        low: Lower bounds $l$ of the actions, in their units; shape `action_dim`, or one that ends in it.
        high: Upper bounds $h > l$.

    Raises:
        ValueError: When it is applied, if bounds are known and not finite, or low is not below high.

    Example:
        >>> import jax.numpy as jnp
        >>> to_box = RealsToBox(jnp.array([0.0]), jnp.array([4.0]))
        >>> to_box.forward(jnp.array([0.0])).tolist(), to_box.inverse(jnp.array([2.0])).tolist()
        ([2.0], [0.0])

    References:
        Carpenter et al., *The Stan Math Library*, 2015, arXiv:1509.07164, on transforms of bounded variables.
    """

    low: Array
    high: Array

    def __init__(self, low: Any, high: Any):
        self.low, self.high = jnp.asarray(low, float), jnp.asarray(high, float)

    def tree_flatten_with_keys(self):
        """Lists the bounds with their names."""
        return tuple((jax.tree_util.GetAttrKey(name), getattr(self, name)) for name in ("low", "high")), None

    def tree_flatten(self) -> tuple[Any, Any]:
        """Lists the bounds; there is nothing static."""
        return (self.low, self.high), None

    @classmethod
    def tree_unflatten(cls, aux_data, children):
        """Puts the bounds back, without looking at them."""
        del aux_data
        bijector = object.__new__(cls)
        bijector.low, bijector.high = children
        return bijector

    @property
    def event_ndims_in(self) -> int:
        """The action's one axis."""
        return 1

    @property
    def event_ndims_out(self) -> int:
        """The action's one axis."""
        return 1

    @property
    def is_constant_jacobian(self) -> bool:
        """No: it is steepest in the middle."""
        return False

    @property
    def is_constant_log_det(self) -> bool:
        """No: it is steepest in the middle."""
        return False

    def forward(self, x: Any):
        """Returns actions in the box for real numbers of shape `*batch action_dim`."""
        return reals_to_box(x, *self._bounds(x))

    def inverse(self, y: Any):
        """Returns real numbers for actions; finite at the bounds."""
        return box_to_reals(y, *self._bounds(y))

    def forward_and_log_det(self, x: Any):
        """Returns actions, and the logarithm of how much volume is stretched there."""
        action, wide = self.forward(x), at_least_float32(x)
        return action, reals_to_box_log_det(wide, *self._bounds(wide))

    def inverse_and_log_det(self, y: Any):
        """Returns real numbers, and the logarithm of how much volume is stretched on the way back."""
        low, high = self._bounds(y)
        wide = at_least_float32(y)
        x = box_to_reals(wide, low.astype(wide.dtype), high.astype(wide.dtype))
        return x.astype(y.dtype), -reals_to_box_log_det(x, *self._bounds(x))

    def same_as(self, other) -> bool:
        """Says whether the bounds are the same.

        Distrax asks before it gives a divergence, and compares programs if the answer is no; two boxes are one program
        with other numbers, so for known bounds that differ this raises ValueError instead.
        """
        if not isinstance(other, RealsToBox):
            return False
        pairs = ((self.low, other.low), (self.high, other.high))
        if all(one is two for one, two in pairs):
            return True
        if any(isinstance(bound, Tracer) for pair in pairs for bound in pair):
            raise ValueError("RealsToBox: whether bounds are equal is not known here; use one bijector for both")
        if all(np.array_equal(one, two) for one, two in pairs):
            return True
        raise ValueError("RealsToBox: a divergence has a closed form only between equal bounds")

    def _bounds(self, like):
        if not isinstance(like, jax.Array | np.ndarray):
            raise TypeError(f"RealsToBox: expected an array of shape (*batch, action_dim); got {type(like).__name__}")
        return self.low.astype(like.dtype), self.high.astype(like.dtype)

    def __repr__(self) -> str:
        return f"RealsToBox(low={self.low}, high={self.high})"
