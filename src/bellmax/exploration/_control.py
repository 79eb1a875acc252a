"""Rewards for changing pixels and features, as auxiliary tasks."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike, checked


@checked
def pixel_control_rewards(
    observations: Float[Array, "times *batch height width channels"], cell_size: int
) -> Float[Array, "time *batch rows columns"]:
    r"""How much each cell of an image changes in a step.

    $$r_{t,i,j} = \frac{1}{|C_{ij}|} \sum_{p \in C_{ij}} |x_{t+1,p} - x_{t,p}|$$

    Args:
        observations: $x$, one more than there are steps, in [0, 1]; integers are converted, not divided by 255.
        cell_size: Height and width of a cell in pixels; static, divides height and width.

    Returns:
        The mean change over the pixels and channels of each cell, one less than there are observations. Differentiable.

    Raises:
        ValueError: If there is no observation, or cells do not fill the image.

    Example:
        >>> import jax.numpy as jnp
        >>> pixel_control_rewards(jnp.arange(8.0).reshape(2, 2, 2, 1), 2).tolist()
        [[[4.0]]]

    References:
        Jaderberg et al., *Reinforcement Learning with Unsupervised Auxiliary Tasks*, 2016, arXiv:1611.05397,
        section 3.1.
    """
    times, *batch, height, width, channels = observations.shape
    if times == 0:
        raise ValueError("pixel_control_rewards: needs at least one observation; got none")
    if cell_size < 1 or height % cell_size or width % cell_size:
        raise ValueError(
            f"pixel_control_rewards: cell_size must divide height and width, {height} and {width}; got {cell_size}"
        )
    change = jnp.abs(observations[1:] - observations[:-1])
    cells = (height // cell_size, cell_size, width // cell_size, cell_size)
    return change.reshape(times - 1, *batch, *cells, channels).mean(axis=(-4, -2, -1))


@checked
def feature_control_rewards(
    features: Float[Array, "times *batch features"],
    kind: Literal["feature", "absolute_change", "increase", "decrease", "potential"] = "absolute_change",
    discount: RealScalarLike = 1.0,
) -> Float[Array, "time *batch features"]:
    r"""How much each feature changes in a step.

    $$r_t = |\phi_{t+1} - \phi_t|, \quad \phi_{t+1} - \phi_t, \quad \phi_t - \phi_{t+1}, \quad
    \gamma\phi_{t+1} - \phi_t, \quad \phi_{t+1}$$

    Args:
        features: $\phi$, one more than there are steps.
        kind: In the order of the equation `"absolute_change"`, `"increase"`, `"decrease"`, `"potential"`, `"feature"`.
        discount: $\gamma \in [0, 1]$, for `"potential"` only.

    Returns:
        A reward for each feature, in its units, one less than there are features in time. Differentiable.

    Raises:
        ValueError: If there are no features.

    Example:
        >>> import jax.numpy as jnp
        >>> feature_control_rewards(jnp.array([[1.0], [3.0], [2.0]])).tolist()
        [[2.0], [1.0]]

    References:
        Jaderberg et al., *Reinforcement Learning with Unsupervised Auxiliary Tasks*, 2016, arXiv:1611.05397,
        section 3.1. Ng, Harada and Russell, *Policy invariance under reward transformations*, 1999.
    """
    if features.shape[0] == 0:
        raise ValueError("feature_control_rewards: needs features of at least one time; got none")
    before, after = features[:-1], features[1:]
    if kind == "feature":
        return after
    if kind == "increase":
        return after - before
    if kind == "decrease":
        return before - after
    if kind == "potential":
        return jnp.asarray(discount, features.dtype) * after - before
    return jnp.abs(after - before)
