"""Elementwise squashing of values: signed hyperbolic, symlog and power."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked, guard


@checked(widen=True)
def signed_hyperbolic(x: Float[Array, "*batch"], *, eps: RealScalarLike = 1e-3) -> Float[Array, "*batch"]:
    r"""Squashes values like a square root, linearly far away.

    $$h(x) = \operatorname{sign}(x)\,(\sqrt{|x| + 1} - 1) + \epsilon x = \frac{x}{\sqrt{|x| + 1} + 1} + \epsilon x$$

    The second form loses no digits near zero. The slope at zero is $1/2 + \epsilon$; $\pm\infty$ stay what they are.

    Args:
        x: Values, in the units of the environment.
        eps: $\epsilon \ge 0$, which keeps the inverse Lipschitz; no unit.

    Returns:
        $h(x)$, elementwise. Differentiable in `x` and `eps`.

    Raises:
        ValueError: If `eps` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> signed_hyperbolic(jnp.array([-3.0, 0.0, 8.0]), eps=0.0).tolist()
        [-1.0, 0.0, 2.0]

    References:
        Pohlen et al., *Observe and Look Further: Achieving Consistent Performance on Atari*, 2018, arXiv:1805.11593,
        proposition A.2.
    """
    eps = _tilt(eps, x, "signed_hyperbolic")
    far = jnp.isinf(x)
    near = jnp.where(far, 0, x)
    return jnp.where(far, x, near / (jnp.sqrt(jnp.abs(near) + 1) + 1) + eps * near)


@checked(widen=True)
def signed_parabolic(x: Float[Array, "*batch"], *, eps: RealScalarLike = 1e-3) -> Float[Array, "*batch"]:
    r"""Undoes `signed_hyperbolic`.

    $$h^{-1}(x) = \operatorname{sign}(x)\,m\,(m + 2), \qquad
    m = \frac{2|x|}{1 + 2\epsilon + \sqrt{(1 + 2\epsilon)^2 + 4\epsilon|x|}}$$

    Here $m = \sqrt{|h^{-1}(x)| + 1} - 1$ is the positive root of $\epsilon m^2 + (1 + 2\epsilon) m = |x|$, in the form
    that cancels nothing. The slope at zero is $1/(1/2 + \epsilon)$; $\pm\infty$ stay what they are.

    Args:
        x: Squashed values, no unit.
        eps: $\epsilon \ge 0$, as in `signed_hyperbolic`.

    Returns:
        $h^{-1}(x)$, elementwise, in the units of the environment. Differentiable in `x` and `eps`.

    Raises:
        ValueError: If `eps` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> signed_parabolic(jnp.array([-1.0, 0.0, 2.0]), eps=0.0).tolist()
        [-3.0, 0.0, 8.0]

    References:
        Pohlen et al., *Observe and Look Further: Achieving Consistent Performance on Atari*, 2018, arXiv:1805.11593,
        proposition A.2.
    """
    eps = _tilt(eps, x, "signed_parabolic")
    far = jnp.isinf(x)
    near = jnp.where(far, 0, x)
    linear = 1 + 2 * eps
    slope = 2 / (linear + jnp.sqrt(jnp.square(linear) + 4 * eps * jnp.abs(near)))
    return jnp.where(far, x, near * slope * (jnp.abs(near) * slope + 2))


@checked(widen=True)
def symlog(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Squashes values like a logarithm, on both sides of zero.

    $$\operatorname{symlog}(x) = \operatorname{sign}(x) \ln(|x| + 1)$$

    The slope at zero is 1.

    Args:
        x: Values, in the units of the environment.

    Returns:
        The squashed values, elementwise. Differentiable.

    Example:
        >>> import jax.numpy as jnp
        >>> symlog(jnp.array([-1.0, 0.0, 1.0])).round(3).tolist()
        [-0.6930000185966492, 0.0, 0.6930000185966492]

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104, equation 9.
    """
    return _odd(jnp.log1p, x)


@checked(widen=True)
def symexp(x: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    r"""Undoes `symlog`.

    $$\operatorname{symexp}(x) = \operatorname{sign}(x) (e^{|x|} - 1)$$

    The slope at zero is 1. What the type cannot hold (beyond 88 in float32) becomes infinite.

    Args:
        x: Squashed values, no unit.

    Returns:
        The values, elementwise, in the units of the environment. Differentiable.

    Example:
        >>> import jax.numpy as jnp
        >>> symexp(jnp.log(jnp.array([1.0, 2.0, 4.0]))).round(2).tolist()
        [0.0, 1.0, 3.0]

    References:
        Hafner et al., *Mastering Diverse Domains through World Models*, 2023, arXiv:2301.04104, equation 9.
    """
    return _odd(jnp.expm1, x)


@checked(widen=True)
def signed_power(x: Float[Array, "*batch"], *, p: RealScalarLike) -> Float[Array, "*batch"]:
    r"""Squashes or stretches values like a power; the inverse has the power $1/p$.

    $$f_p(x) = \operatorname{sign}(x)\,\frac{(|x| / \sqrt{p} + 1)^p - 1}{\sqrt{p}}$$

    The slope at zero is 1 for every power.

    Args:
        x: Values, in the units of the environment.
        p: $p > 0$; below 1 it squashes, above it stretches. No unit.

    Returns:
        $f_p(x)$, elementwise. Differentiable in `x` and `p`.

    Raises:
        ValueError: If `p` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> signed_power(jnp.array([-1.5, 0.0, 6.0]), p=0.25).round(2).tolist()
        [-0.8299999833106995, 0.0, 1.7999999523162842]

    References:
        Van Hasselt et al., *General non-linear Bellman equations*, 2019, arXiv:1907.03687, on squashed values.
    """
    p = guard(p, lambda p: p > 0, "signed_power: p must be above 0")
    p = jnp.asarray(p, x.dtype)
    root = jnp.sqrt(p)
    return _odd(lambda size: jnp.expm1(p * jnp.log1p(size / root)) / root, x)


def _tilt(eps, x, function):
    return jnp.asarray(guard(eps, lambda eps: eps >= 0, f"{function}: eps must be at least 0"), x.dtype)


def _odd(function, x):
    """Continues a function of |x| to both signs, with the slope from the right at zero."""
    negative = x < 0
    of_size = function(jnp.where(negative, -x, x))
    return jnp.where(negative, -of_size, of_size)
