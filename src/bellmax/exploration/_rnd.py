"""Random network distillation."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import checked


@checked(widen=True)
def rnd_bonus(
    prediction: Float[Array, "*batch features"], target: Float[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    r"""How badly a trained network predicts the features of a random, fixed one.

    $$b = \frac{1}{d} \sum_{i=1}^{d} (\hat f_i - f_i)^2$$

    The same number is the loss of the predictor: the gradient flows through the prediction only. Stop it where the
    bonus is used as a reward.

    Args:
        prediction: $\hat f(s)$ of the trained network, no unit.
        target: $f(s)$ of the fixed network; its gradient is stopped.

    Returns:
        The bonus of each example, at least 0.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> rnd_bonus(jnp.array([1.0, 4.0]), jnp.array([1.0, 2.0])).tolist()
        2.0

    References:
        Burda et al., *Exploration by Random Network Distillation*, 2018, arXiv:1810.12894, section 2.2.
    """
    return jnp.mean(jnp.square(prediction - jax.lax.stop_gradient(target)), axis=-1)
