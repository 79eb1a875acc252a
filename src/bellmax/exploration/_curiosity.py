"""The intrinsic curiosity module: what cannot be predicted, in features of what can be controlled."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from .._core import RealScalarLike, at_least_float32, checked, guard, take_action


@checked(widen=True)
def icm_bonus(
    predicted_features: Float[Array, "*batch features"],
    next_features: Float[Array, "*batch features"],
    *,
    eta: RealScalarLike = 0.01,
) -> Float[Array, "*batch"]:
    r"""How badly the features of the next state were predicted.

    $$b = \frac{\eta}{2} \lVert \hat\phi(s') - \phi(s') \rVert^2$$

    The bonus is data: no gradient flows through it.

    Args:
        predicted_features: $\hat\phi(s')$, from the features of the state and the action.
        next_features: $\phi(s')$ of the true successor.
        eta: $\eta \ge 0$, in the units of the reward.

    Returns:
        The bonus of each example, at least 0, in the units of the reward.

    Raises:
        ValueError: If `eta` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> icm_bonus(jnp.array([1.0, 4.0]), jnp.array([1.0, 2.0]), eta=0.5).tolist()
        1.0

    References:
        Pathak et al., *Curiosity-driven Exploration by Self-supervised Prediction*, 2017, arXiv:1705.05363, equation 6.
    """
    eta = guard(eta, lambda eta: eta >= 0, "icm_bonus: eta must be at least 0")
    square = jnp.sum(jnp.square(predicted_features - next_features), axis=-1)
    return jax.lax.stop_gradient(jnp.asarray(eta, square.dtype) / 2 * square)


@checked(widen=True)
def forward_dynamics_loss(
    predicted_features: Float[Array, "*batch features"], next_features: Float[Array, "*batch features"]
) -> Float[Array, "*batch"]:
    r"""The loss of the model that predicts features of the next state.

    $$\ell = \tfrac12 \lVert \hat\phi(s') - \phi(s') \rVert^2$$

    The paper trains the encoder together with both models, and its gradient flows through $\phi(s')$ too, where it
    pulls the features towards what is easy to predict; the inverse model holds them apart. Here $\phi(s')$ is data:
    the encoder learns from `inverse_dynamics_loss`, and from this loss only as far as $\hat\phi$ was computed from
    $\phi(s)$ with its gradient.

    Args:
        predicted_features: $\hat\phi(s')$, the prediction.
        next_features: $\phi(s')$ of the true successor; its gradient is stopped.

    Returns:
        The loss of each example.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> forward_dynamics_loss(jnp.array([1.0, 4.0]), jnp.array([1.0, 2.0])).tolist()
        2.0

    References:
        Pathak et al., *Curiosity-driven Exploration by Self-supervised Prediction*, 2017, arXiv:1705.05363, equation 5.
    """
    return 0.5 * jnp.sum(jnp.square(predicted_features - jax.lax.stop_gradient(next_features)), axis=-1)


@checked
def inverse_dynamics_loss(
    logits: Float[Array, "*batch actions"], action: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""The loss of the model that tells the action from the states before and after it.

    $$\ell = -\ln \hat p(A \mid \phi(S), \phi(S'))$$

    Args:
        logits: Unnormalised $\ln \hat p$ of each action, in nats; −∞ has probability zero.
        action: $A$, from 0 to actions − 1; an index outside gives NaN.

    Returns:
        The loss of each example in nats, at least float32. The gradient reaches the features through the logits.

    Raises:
        jaxtyping.TypeCheckError: If the shapes differ or the action is not an integer.

    Example:
        >>> import jax.numpy as jnp
        >>> inverse_dynamics_loss(jnp.log(jnp.array([0.25, 0.75])), 0).round(3).tolist()
        1.3860000371932983

    References:
        Pathak et al., *Curiosity-driven Exploration by Self-supervised Prediction*, 2017, arXiv:1705.05363, equation 3.
    """
    return -take_action(jax.nn.log_softmax(at_least_float32(logits), axis=-1), action)
