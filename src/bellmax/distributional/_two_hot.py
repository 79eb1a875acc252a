"""Numbers as categorical distributions, and back."""

import jax.numpy as jnp
from jax.scipy.special import erfc
from jax.tree_util import Partial
from jaxtyping import Array, Float

from .._core import RealScalarLike, ValueTransform, checked, guard, multiply_no_nan
from ._projection import locate
from ._support import check_support

_SMALLEST_SIGMA = 1e-6
"""In bins: as good as none."""


@checked(widen=True)
def two_hot(x: Float[Array, "*batch"], support: Float[Array, " atoms"]) -> Float[Array, "*batch atoms"]:
    r"""Shares a number between its two neighbours, so that their mean is the number.

    $$p_k = \frac{z_{k+1} - x}{z_{k+1} - z_k}, \qquad p_{k+1} = \frac{x - z_k}{z_{k+1} - z_k}, \qquad
    z_k \le x \le z_{k+1}$$

    A number outside the support counts as its nearer end; a NaN stays visible.

    Args:
        x: Number to encode, in the units of the support.
        support: $z$, the atoms, strictly increasing, at least two; even spacing is not needed.

    Returns:
        Probabilities of the atoms. Differentiable; on an atom the gradient is that of one of its sides.

    Raises:
        ValueError: If the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the support has batch axes.

    Example:
        >>> import jax.numpy as jnp
        >>> two_hot(2.5, jnp.array([0.0, 1.0, 3.0])).tolist()
        [0.0, 0.25, 0.75]

    References:
        Schrittwieser et al., *Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model*, 2019,
        arXiv:1911.08265, appendix F. Hafner et al., *Mastering Diverse Domains through World Models*, 2023,
        arXiv:2301.04104.
    """
    bins, share = locate(x, check_support("two_hot", support))
    place = jnp.arange(support.shape[0], dtype=jnp.int32).reshape((1,) * x.ndim + support.shape)
    bins, share = bins[..., None], share[..., None]
    return jnp.where(place == bins, 1 - share, jnp.where(place == bins + 1, share, 0))


@checked(widen=True)
def hl_gauss(
    x: Float[Array, "*batch"], support: Float[Array, " atoms"], *, sigma: RealScalarLike = 0.75
) -> Float[Array, "*batch atoms"]:
    r"""Spreads a number over the atoms as a normal distribution, cut off at the ends: HL-Gauss.

    $$p_i \propto \Phi\Big(\frac{e_{i+1} - x}{\sigma w}\Big) - \Phi\Big(\frac{e_i - x}{\sigma w}\Big)$$

    The support are the centres of the bins: edges $e$ lie midway between atoms, the outer two half a bin beyond the
    first and the last atom; $w$ is the mean distance between atoms. For values of very different scale, transform
    them and keep the support even (a support with very uneven bins has no single width).

    The number is clipped to the support first. With the default sigma the mean of the result is the number, to
    1e-5 of a bin, from three bins inside the support on; nearer to its ends it is pulled inwards.

    Args:
        x: Number to encode, in the units of the support; a NaN stays visible.
        support: Centres of the bins, strictly increasing, at least two.
        sigma: $\sigma$, the standard deviation in bins; above 0. Towards 0 this becomes the nearest atom.

    Returns:
        Probabilities of the atoms, which sum to 1. Differentiable.

    Raises:
        ValueError: If sigma is not above 0, or the support does not increase strictly or has fewer than two atoms.
        jaxtyping.TypeCheckError: If the support has batch axes.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(p), 3) for p in hl_gauss(0.0, jnp.array([-1.0, 0.0, 1.0]))]
        [0.241, 0.519, 0.241]

    References:
        Imani and White, *Improving Regression Performance with Distributional Losses*, 2018, arXiv:1806.04613.
        Farebrother et al., *Stop Regressing: Training Value Functions via Classification for Scalable Deep RL*, 2024,
        arXiv:2403.03950, section 3.1.
    """
    support = check_support("hl_gauss", support)
    sigma = guard(sigma, lambda sigma: sigma > 0, "hl_gauss: sigma must be above 0")
    sigma = jnp.maximum(jnp.asarray(sigma, support.dtype), _SMALLEST_SIGMA)
    scale = sigma * (support[-1] - support[0]) / (support.shape[0] - 1)
    x = jnp.clip(x, support[0], support[-1])[..., None]

    middle = 0.5 * (support[1:] + support[:-1])
    first, last = 1.5 * support[0] - 0.5 * support[1], 1.5 * support[-1] - 0.5 * support[-2]
    edges = jnp.concatenate([first[None], middle, last[None]])
    scaled = (edges.reshape((1,) * (x.ndim - 1) + edges.shape) - x) / (scale * jnp.sqrt(jnp.asarray(2, scale.dtype)))
    masses = _normal_mass(scaled[..., :-1], scaled[..., 1:])
    return masses / jnp.sum(masses, axis=-1, keepdims=True)


@checked(widen=True)
def categorical_mean(
    probs: Float[Array, "*batch atoms"], atoms: Float[Array, "*batch atoms"] | Float[Array, " atoms"]
) -> Float[Array, "*batch"]:
    r"""Gives the mean of a categorical distribution.

    $$\mathbb{E}[Z] = \sum_i p_i z_i$$

    What has no probability adds nothing, infinities included. A symmetric distribution over symmetric atoms has mean
    exactly 0, of whatever scale the atoms are.

    Args:
        probs: $p$, probabilities; not normalised here.
        atoms: $z$, shared by all examples or each example's own.

    Returns:
        The mean, in the units of the atoms. Differentiable.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> categorical_mean(jnp.array([0.25, 0.75]), jnp.array([-1.0, 1.0])).tolist()
        0.5

    References:
        Bellemare, Dabney and Munos, *A Distributional Perspective on Reinforcement Learning*, 2017, arXiv:1707.06887.
    """
    parts = multiply_no_nan(jnp.broadcast_to(atoms, probs.shape), probs)
    # Each part meets its mirror image, so that large ones cancel before they swallow small ones.
    return 0.5 * jnp.sum(parts + parts[..., ::-1], axis=-1)


def two_hot_transform(support: Float[Array, " atoms"], transform: ValueTransform | None = None) -> ValueTransform:
    r"""Pairs the two-hot encoding of a value with its mean: the transform of a network that predicts a distribution.

    $$\mathrm{apply}(x) = \mathrm{two\_hot}(f(x), z), \qquad \mathrm{invert}(p) = f^{-1}\Big(\sum_i p_i z_i\Big)$$

    Encoding adds an axis of atoms, decoding takes it away. With a transform this is MuZero's pair, which bends the
    mean: $f^{-1}$ of an average is not the average of $f^{-1}$. Without one, over a support that is spaced in
    transformed units and brought back, `two_hot_transform(f.invert(support))`, the mean is unbiased.

    Args:
        support: $z$, atoms in transformed units, strictly increasing, at least two.
        transform: $f$ and its inverse; None for the identity.

    Returns:
        The pair. Its functions are pytrees, and may be handed to transformed functions.

    Raises:
        ValueError: When it is applied, if the support does not increase strictly or has fewer than two atoms.

    Example:
        >>> import jax.numpy as jnp
        >>> pair = two_hot_transform(jnp.array([-1.0, 0.0, 1.0]))
        >>> pair.apply(jnp.array(0.25)).tolist()
        [0.0, 0.75, 0.25]
        >>> pair.invert(jnp.array([0.0, 0.75, 0.25])).tolist()
        0.25

    References:
        Schrittwieser et al., *Mastering Atari, Go, Chess and Shogi by Planning with a Learned Model*, 2019,
        arXiv:1911.08265, appendix F. Pohlen et al., *Observe and Look Further*, 2018, arXiv:1805.11593.
    """
    forward, back = (_identity, _identity) if transform is None else transform
    return ValueTransform(Partial(_encode, _as_tree(forward), support), Partial(_decode, _as_tree(back), support))


def _encode(forward, support, value):
    return two_hot(forward(value), support)


def _decode(back, support, probs):
    return back(categorical_mean(probs, support))


def _identity(value):
    return value


def _as_tree(function):
    return function if isinstance(function, Partial) else Partial(function)


def _normal_mass(low, high):
    """Returns erf(high) − erf(low), up to a factor, mirrored into the lower tail, where differences are exact."""
    is_above = low + high > 0
    low, high = jnp.where(is_above, -high, low), jnp.where(is_above, -low, high)
    return erfc(-high) - erfc(-low)
