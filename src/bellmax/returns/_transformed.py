"""Returns of values that a network predicts in units of its own."""

import functools
import inspect
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import AbstractArray, Array

from .._core import ValueTransform, at_least_float32, inverted
from ._gae import gae

_VALUES = ("values", "next_values", "next_q", "bootstrap_value")
_HALF = (jnp.bfloat16, jnp.float16)


def transformed(function: Callable[..., Array], transform: ValueTransform) -> Callable[..., Array]:
    r"""Makes a function of returns take and give transformed values.

    $$G_t = h\left(f(R, \gamma, h^{-1}(V), \dots)\right)$$

    The arguments `values`, `next_values`, `next_q` and `bootstrap_value` are brought back to the units of the
    environment, the result to those of the network; rewards and everything else stay as they are, and so does an
    argument left to its default. A value of −∞, a masked action, stays −∞ whatever the transform, without a gradient.

    An expectation has to be taken in the units of the environment. `expected_sarsa_lambda_returns`,
    `tree_backup_returns` and `q_sigma_returns` do that. `retrace_returns` and `off_policy_returns` are handed theirs:
    wrap them only if `next_values` comes from a network of its own; else write
    `apply(retrace_returns(..., expected_value(invert(next_q), next_probs), ...))` by hand.

    Args:
        function: A function of this folder that takes values and returns values, one array of them.
        transform: The pair of $h$ (`apply`) and $h^{-1}$ (`invert`), both elementwise.

    Returns:
        A function with the same arguments.

    Raises:
        TypeError: If the function takes no values, or its result is not values: advantages (`gae`, `vtrace`) and
            transitions have no transform.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.returns import lambda_returns
        >>> squared = ValueTransform(apply=jnp.square, invert=jnp.sqrt)
        >>> transformed(lambda_returns, squared)(jnp.ones(1), jnp.ones(1), jnp.array([9.0])).tolist()
        [16.0]

    References:
        Van Hasselt et al., *General Non-linear Bellman Equations*, 2019, arXiv:1907.03687. Pohlen et al., *Observe and
        Look Further*, 2018, arXiv:1805.11593.
    """
    signature = inspect.signature(function)
    name = getattr(function, "__name__", repr(function))
    if not any(value in signature.parameters for value in _VALUES):
        raise TypeError(f"transformed: {name} takes none of {', '.join(_VALUES)}; got {name}{signature}")
    result = signature.return_annotation
    if function is gae or not (isinstance(result, type) and issubclass(result, AbstractArray)):
        raise TypeError(f"transformed: {name} does not return values, which alone have a transform")

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        given = {value: bound.arguments[value] for value in _VALUES if value in bound.arguments}
        is_half = any(isinstance(x, jax.Array) and x.dtype in _HALF for x in given.values())
        dtype = jax.eval_shape(lambda: function(*bound.args, **bound.kwargs)).dtype if is_half else None
        bound.arguments.update({value: _inverted(x, transform) for value, x in given.items()})
        returns = transform.apply(function(*bound.args, **bound.kwargs))
        return returns if dtype is None else returns.astype(dtype)

    return call


def _inverted(value, transform):
    """Inverts numbers, NumPy's included, in float32 or wider; leaves what is none for the function to refuse."""
    if isinstance(value, int | float | np.ndarray | np.generic):
        value = jnp.asarray(value)
    if not isinstance(value, jax.Array) or value.dtype == bool:
        return value
    return inverted(
        at_least_float32(value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)), transform
    )
