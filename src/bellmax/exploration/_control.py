"""Rewards for changing pixels, features and potentials."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import checked, multiply_no_nan


@checked(widen=True)
def pixel_control_rewards(
    observation: Float[Array, "*batch height width channels"],
    next_observation: Float[Array, "*batch height width channels"],
    *,
    cell_size: int,
) -> Float[Array, "*batch rows columns"]:
    r"""How much each cell of an image changes in a step.

    $$r_{i,j} = \frac{1}{|C_{ij}|} \sum_{p \in C_{ij}} |s'_p - s_p|$$

    Args:
        observation: $s$, in [0, 1]; integers are converted, not divided by 255.
        next_observation: $s'$ of the true successor: at the end of an episode its last image, not the first of the
            next episode.
        cell_size: Height and width of a cell in pixels; static, divides height and width.

    Returns:
        The mean change over the pixels and channels of each cell, in the units of the pixels. Differentiable.

    Raises:
        ValueError: If `cell_size` is not positive, or cells do not fill the image.

    Example:
        >>> import jax.numpy as jnp
        >>> before, after = jnp.zeros((2, 2, 1)), jnp.arange(4.0).reshape(2, 2, 1)
        >>> pixel_control_rewards(before, after, cell_size=2).tolist()
        [[1.5]]

    References:
        Jaderberg et al., *Reinforcement Learning with Unsupervised Auxiliary Tasks*, 2016, arXiv:1611.05397,
        section 3.1.
    """
    *batch, height, width, channels = observation.shape
    if cell_size < 1 or height % cell_size or width % cell_size:
        raise ValueError(
            f"pixel_control_rewards: cell_size must divide height and width, {height} and {width}; got {cell_size}"
        )
    cells = (height // cell_size, cell_size, width // cell_size, cell_size)
    change = jnp.abs(next_observation - observation)
    return change.reshape(*batch, *cells, channels).mean(axis=(-4, -2, -1))


@checked(widen=True)
def feature_control_rewards(
    features: Float[Array, "*batch features"], next_features: Float[Array, "*batch features"]
) -> Float[Array, "*batch features"]:
    r"""How much each feature changes in a step.

    $$r_i = |\phi_i(s') - \phi_i(s)|$$

    Args:
        features: $\phi(s)$, such as the activations of a hidden layer.
        next_features: $\phi(s')$ of the true successor.

    Returns:
        A reward for each feature, in its units. Differentiable.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> feature_control_rewards(jnp.array([1.0, 3.0]), jnp.array([3.0, 2.0])).tolist()
        [2.0, 1.0]

    References:
        Jaderberg et al., *Reinforcement Learning with Unsupervised Auxiliary Tasks*, 2016, arXiv:1611.05397,
        section 3.1.
    """
    return jnp.abs(next_features - features)


@checked(widen=True)
def potential_reward(
    potential: Float[Array, "*batch"], discount: Float[Array, "*batch"], next_potential: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""What may be added to any reward without a change of the best policy.

    $$F = \gamma \Phi(s') - \Phi(s)$$

    Along an episode the discounted sum is $-\Phi$ of its start, if the last discount is 0: the potential of a terminal
    state counts as zero. Where an episode was truncated the discount stays, and $\Phi(s')$ with it.

    Args:
        potential: $\Phi(s)$, in the units of the reward.
        discount: $\gamma$, zero where the episode terminated; zero erases the next potential, infinite ones too.
        next_potential: $\Phi(s')$ of the true successor.

    Returns:
        The reward of each example. Differentiable.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> potential_reward(jnp.array([1.0, 3.0]), jnp.array([0.5, 0.0]), jnp.array([4.0, jnp.inf])).tolist()
        [1.0, -3.0]

    References:
        Ng, Harada and Russell, *Policy invariance under reward transformations: Theory and application to reward
        shaping*, 1999, theorem 1.
    """
    return multiply_no_nan(next_potential, discount) - potential
