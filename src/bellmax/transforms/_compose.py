"""Transforms of values that are put together: the identity, affine ones, and one after the other."""

import jax.numpy as jnp
from jax.tree_util import Partial

from .._core import RealScalarLike, ValueTransform, checked, functions_as_nodes, guard


@checked
def identity_transform() -> ValueTransform:
    r"""Leaves values as they are.

    $$f(x) = x$$

    Returns:
        The pair.

    Example:
        >>> import jax.numpy as jnp
        >>> float(identity_transform().apply(jnp.array(3.0)))
        3.0

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687.
    """
    return ValueTransform(Partial(_same), Partial(_same))


@checked
def affine_transform(scale: RealScalarLike = 1.0, shift: RealScalarLike = 0.0) -> ValueTransform:
    r"""Scales and shifts values.

    $$f(x) = s x + t, \qquad f^{-1}(y) = (y - t) / s$$

    Args:
        scale: $s > 0$, so that the order of values is kept; from the units of the environment to the network's.
        shift: $t$, in the units of the network.

    Returns:
        The pair.

    Raises:
        ValueError: If `scale` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = affine_transform(0.5, 1.0)
        >>> float(pair.apply(jnp.array(4.0))), float(pair.invert(jnp.array(3.0)))
        (3.0, 4.0)

    References:
        Van Hasselt et al., *Learning values across many orders of magnitude*, 2016, arXiv:1602.07714, section 2.
    """
    scale = guard(scale, lambda scale: scale > 0, "affine_transform: scale must be above 0")
    return ValueTransform(
        Partial(_affine, scale=scale, shift=shift), Partial(_affine_inverse, scale=scale, shift=shift)
    )


def compose_transforms(*transforms: ValueTransform) -> ValueTransform:
    r"""Applies transforms one after the other, the first one first.

    $$f = f_n \circ \dots \circ f_1, \qquad f^{-1} = f_1^{-1} \circ \dots \circ f_n^{-1}$$

    Args:
        *transforms: The pairs; none at all is the identity. Plain functions in them are taken as constants under `jit`.

    Returns:
        The pair.

    Raises:
        TypeError: If something is no pair.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = compose_transforms(affine_transform(2.0), affine_transform(1.0, 1.0))
        >>> float(pair.apply(jnp.array(3.0))), float(pair.invert(jnp.array(7.0)))
        (7.0, 3.0)

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687.
    """
    for transform in transforms:
        if not isinstance(transform, ValueTransform):
            raise TypeError(f"compose_transforms: takes pairs, ValueTransform(apply, invert); got {transform!r}")
    forth = functions_as_nodes([transform.apply for transform in transforms])
    back = functions_as_nodes([transform.invert for transform in reversed(transforms)])
    return ValueTransform(Partial(_chain, forth), Partial(_chain, back))


def _same(x):
    return x


def _affine(x, *, scale, shift):
    return jnp.asarray(scale, x.dtype) * x + jnp.asarray(shift, x.dtype)


def _affine_inverse(x, *, scale, shift):
    return (x - jnp.asarray(shift, x.dtype)) / jnp.asarray(scale, x.dtype)


def _chain(functions, x):
    for function in functions:
        x = function(x)
    return x
