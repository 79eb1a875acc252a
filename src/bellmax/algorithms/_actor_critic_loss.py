"""What the losses of policy and value add up to."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import RealScalarLike
from ..losses import approximate_kl, clipped_value_loss, value_loss


def actor_critic_loss(
    policy_loss: Float[Array, " batch"],
    critic_loss: Float[Array, " batch"],
    entropy: Float[Array, " batch"],
    value_coefficient: RealScalarLike,
    entropy_coefficient: RealScalarLike,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Adds up the means of the parts of a loss; returns the parts too."""
    metrics = {"policy_loss": policy_loss.mean(), "value_loss": critic_loss.mean(), "entropy": entropy.mean()}
    loss = metrics["policy_loss"] + value_coefficient * metrics["value_loss"]
    return loss - entropy_coefficient * metrics["entropy"], metrics


def regression_loss(
    value: Float[Array, "*batch"],
    target: Float[Array, "*batch"],
    before: Float[Array, "*batch"],
    epsilon: RealScalarLike | None,
) -> Float[Array, "*batch"]:
    """Returns the loss of values, clipped to what they were before unless ε is None."""
    return value_loss(value, target) if epsilon is None else clipped_value_loss(value, target, before, epsilon=epsilon)


def movement(log_ratio: Float[Array, "*batch"], epsilon: RealScalarLike) -> dict[str, Float[Array, ""]]:
    """Says how far a policy moved from the one that acted: its divergence, and the share of ratios beyond the clip."""
    clipped = jnp.abs(jnp.expm1(log_ratio)) > epsilon
    return {"approximate_kl": approximate_kl(log_ratio).mean(), "clip_fraction": jnp.mean(clipped)}
