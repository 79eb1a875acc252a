"""Normalising by moments, and back."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, PyTree

from .._core import RealScalarLike, checked, guard
from ._ema import EmaMoments
from ._moments import Moments


@checked
def normalise(
    moments: Moments | EmaMoments,
    x: Float[Array, "..."] | PyTree[Num[Array | np.ndarray, "..."]],
    *,
    clip: RealScalarLike | None = 10.0,
    epsilon: RealScalarLike = 1e-8,
) -> Float[Array, "..."] | PyTree[Float[Array, "..."]]:
    r"""Brings examples to mean 0 and variance 1.

    $$y = \min(\max((x - \mu) / \sqrt{\sigma^2 + \epsilon}, -c), c)$$

    Before anything was counted the mean is 0 and the variance 1. What never varied has $\sigma^2 = 0$: with
    $\epsilon = 0$ it gives NaN at its mean, and $\pm c$ elsewhere. Differentiable in `x` and in the moments.

    Args:
        moments: $\mu$ and $\sigma^2$.
        x: Examples, with any batch axes, in the structure of the moments; integers give floating point.
        clip: $c > 0$, in standard deviations; None for no clip.
        epsilon: $\epsilon \ge 0$, in the units of $x$ squared.

    Returns:
        The examples without units, in the type that they came in.

    Raises:
        ValueError: If `clip` is not positive, `epsilon` is negative, or structure or shapes differ from those of the
            moments.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import init_moments, update_moments
        >>> moments = update_moments(init_moments(jnp.zeros(())), jnp.array([1.0, 3.0]))
        >>> normalise(moments, jnp.array([0.0, 2.0])).tolist()
        [-2.0, 0.0]

    References:
        Andrychowicz et al., *What Matters In On-Policy Reinforcement Learning?*, 2020, arXiv:2006.05990, appendix B.9.
    """
    epsilon = guard(epsilon, lambda epsilon: epsilon >= 0, "normalise: epsilon must be at least 0")
    if clip is not None:
        clip = guard(clip, lambda clip: clip > 0, "normalise: clip must be above 0")

    def of_leaf(x, mean, rest, scale):
        y = ((x - mean) - rest) / scale
        if clip is None:
            return y
        largest = jnp.asarray(clip, y.dtype)
        return jnp.clip(y, -largest, largest)

    return _by_leaf(of_leaf, moments, x, epsilon, "normalise")


@checked
def unnormalise(
    moments: Moments | EmaMoments,
    y: Float[Array, "..."] | PyTree[Num[Array | np.ndarray, "..."]],
    *,
    epsilon: RealScalarLike = 1e-8,
) -> Float[Array, "..."] | PyTree[Float[Array, "..."]]:
    r"""Undoes `normalise`, but for what was clipped.

    $$x = y \sqrt{\sigma^2 + \epsilon} + \mu$$

    Differentiable in `y` and in the moments.

    Args:
        moments: $\mu$ and $\sigma^2$.
        y: Normalised examples, with any batch axes, no unit.
        epsilon: $\epsilon \ge 0$, as in `normalise`.

    Returns:
        The examples in their units, in the type that they came in.

    Raises:
        ValueError: If `epsilon` is negative, or structure or shapes differ from those of the moments.

    Example:
        >>> import jax.numpy as jnp
        >>> from bellmax.transforms import init_moments, update_moments
        >>> moments = update_moments(init_moments(jnp.zeros(())), jnp.array([1.0, 3.0]))
        >>> unnormalise(moments, jnp.array([-2.0, 0.0])).tolist()
        [0.0, 2.0]

    References:
        Andrychowicz et al., *What Matters In On-Policy Reinforcement Learning?*, 2020, arXiv:2006.05990, appendix B.9.
    """
    epsilon = guard(epsilon, lambda epsilon: epsilon >= 0, "unnormalise: epsilon must be at least 0")
    return _by_leaf(lambda y, mean, rest, scale: (y * scale + rest) + mean, moments, y, epsilon, "unnormalise")


def words(moments: Moments | EmaMoments) -> tuple[PyTree[Array], PyTree[Array], PyTree[Array]]:
    """Returns trees of the mean's two words and of the variance, which is 1 if nothing was counted."""
    if isinstance(moments, EmaMoments):
        empty, variance = moments.weight == 0, moments.variance
    else:
        empty = (moments.count.high == 0) & (moments.count.low == 0)
        variance = jax.tree.map(jnp.add, moments.variance, moments.variance_rest)
    return moments.mean, moments.mean_rest, jax.tree.map(lambda leaf: jnp.where(empty, 1, leaf), variance)


def _by_leaf(function, moments, x, epsilon, name):
    """Applies a function of an array and its moments to every leaf, in a wide type."""
    trees = jax.tree.structure(moments.mean), jax.tree.structure(x)
    if trees[0] != trees[1]:
        raise ValueError(f"{name}: moments of {trees[0]} cannot take examples of {trees[1]}")

    def of_leaf(x, mean, rest, variance):
        x = jnp.asarray(x)
        if x.shape[x.ndim - mean.ndim :] != mean.shape:
            raise ValueError(f"{name}: the last axes must be those of the moments, {mean.shape}; got {x.shape}")
        floating = jnp.issubdtype(x.dtype, jnp.floating)
        wide = x.dtype if floating and jnp.finfo(x.dtype).bits > jnp.finfo(mean.dtype).bits else mean.dtype
        scale = jnp.sqrt(variance + jnp.asarray(epsilon, variance.dtype))
        of_moments = [jnp.broadcast_to(each.astype(wide), x.shape) for each in (mean, rest, scale)]
        result = function(x.astype(wide), *of_moments)
        return result.astype(x.dtype) if floating else result

    return jax.tree.map(of_leaf, x, *words(moments))
