"""Transforms that squash or stretch values, as pairs."""

import jax.numpy as jnp
from jax.tree_util import Partial

from .._core import RealScalarLike, ValueTransform, checked, guard
from ._scalar import signed_hyperbolic, signed_parabolic, signed_power, symexp, symlog


@checked
def hyperbolic_transform(eps: RealScalarLike = 1e-3) -> ValueTransform:
    r"""Squashes values like a square root, as R2D2 and MuZero do: `signed_hyperbolic` and `signed_parabolic`.

    $$f(x) = \operatorname{sign}(x)\,(\sqrt{|x| + 1} - 1) + \epsilon x$$

    Args:
        eps: $\epsilon \ge 0$; no unit.

    Returns:
        The pair.

    Raises:
        ValueError: If `eps` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = hyperbolic_transform()
        >>> round(float(pair.invert(pair.apply(jnp.array(300.0)))), 2)
        300.0

    References:
        Pohlen et al., *Observe and Look Further: Achieving Consistent Performance on Atari*, 2018, arXiv:1805.11593,
        proposition A.2.
    """
    eps = guard(eps, lambda eps: eps >= 0, "hyperbolic_transform: eps must be at least 0")
    return ValueTransform(Partial(signed_hyperbolic, eps=eps), Partial(signed_parabolic, eps=eps))


@checked
def symlog_transform() -> ValueTransform:
    r"""Squashes values like a logarithm, as DreamerV3 does: `symlog` and `symexp`.

    $$f(x) = \operatorname{sign}(x) \ln(|x| + 1)$$

    Returns:
        The pair.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = symlog_transform()
        >>> round(float(pair.invert(pair.apply(jnp.array(-20.0)))), 3)
        -20.0

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104, equation 9.
    """
    return ValueTransform(Partial(symlog), Partial(symexp))


@checked
def log_transform(scale: RealScalarLike = 1.0) -> ValueTransform:
    r"""Squashes values like a logarithm, beyond a scale.

    $$f(x) = s \operatorname{sign}(x) \ln(1 + |x| / s)$$

    Values well below the scale stay as they are. With $s = 1$ this is `symlog_transform`.

    Args:
        scale: $s > 0$, in the units of the environment.

    Returns:
        The pair.

    Raises:
        ValueError: If `scale` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(log_transform(100.0).apply(jnp.array(1.0))), 3)
        0.995

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687, on squashed values.
    """
    scale = guard(scale, lambda scale: scale > 0, "log_transform: scale must be above 0")
    return ValueTransform(Partial(_log, scale=scale), Partial(_log_inverse, scale=scale))


@checked
def arcsinh_transform() -> ValueTransform:
    r"""Squashes values like a logarithm, smoothly through zero.

    $$f(x) = \operatorname{arsinh}(x) = \ln(x + \sqrt{x^2 + 1})$$

    Returns:
        The pair; the network predicts the inverse hyperbolic sine.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(arcsinh_transform().apply(jnp.array(1.0))), 3)
        0.881

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687, on squashed values.
    """
    return ValueTransform(Partial(jnp.arcsinh), Partial(jnp.sinh))


@checked
def power_transform(p: RealScalarLike) -> ValueTransform:
    r"""Squashes values like a power: `signed_power` with $p$, and with $1/p$ back.

    $$f(x) = \operatorname{sign}(x)\,\frac{(|x| / \sqrt{p} + 1)^p - 1}{\sqrt{p}}$$

    Args:
        p: $p > 0$; below 1 it squashes. No unit.

    Returns:
        The pair.

    Raises:
        ValueError: If `p` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = power_transform(0.5)
        >>> round(float(pair.invert(pair.apply(jnp.array(-9.0)))), 3)
        -9.0

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687, on squashed values.
    """
    p = guard(p, lambda p: p > 0, "power_transform: p must be above 0")
    return ValueTransform(Partial(signed_power, p=p), Partial(_power_inverse, p=p))


@checked
def discount_transform() -> ValueTransform:
    r"""Stretches what comes close to one, such as discounts and probabilities of going on.

    $$f(x) = -\ln(1 - x), \qquad f^{-1}(y) = 1 - e^{-y}$$

    Returns:
        The pair; `apply` takes values below 1, is infinite at 1 and NaN beyond.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(discount_transform().apply(jnp.array(0.99))), 3)
        4.605

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687.
    """
    return ValueTransform(Partial(_discount), Partial(_discount_inverse))


def _log(x, *, scale):
    scale = jnp.asarray(scale, x.dtype)
    return scale * symlog(x / scale)


def _log_inverse(x, *, scale):
    scale = jnp.asarray(scale, x.dtype)
    return scale * symexp(x / scale)


def _power_inverse(x, *, p):
    return signed_power(x, p=1 / p)


def _discount(x):
    return -jnp.log1p(-x)


def _discount_inverse(x):
    return -jnp.expm1(-x)
