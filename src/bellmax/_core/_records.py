"""The records that cross folders."""

from typing import Any

import equinox as eqx
from jaxtyping import Array, Bool, Float, PyTree


class Transition(eqx.Module):
    """One step of acting, or many: leading axes `time lanes` on-policy, `batch` off-policy.

    Attributes:
        observation: What the policy saw.
        action: What the policy sampled, before any clipping at the border of the environment.
        reward: What the environment paid.
        next_observation: The true successor of `observation`, never a reset one.
        terminated: Whether the episode ended in a terminal state, whose value is zero.
        truncated: Whether the episode was cut short; the successor keeps its value.
        extras: What the algorithm's `act` wants to see again in `update`.
    """

    observation: PyTree[Array]
    action: PyTree[Array]
    reward: Float[Array, "*batch"]
    next_observation: PyTree[Array]
    terminated: Bool[Array, "*batch"]
    truncated: Bool[Array, "*batch"]
    extras: Any = None


class Batch(eqx.Module):
    """What an algorithm learns from.

    Attributes:
        transition: The steps.
        memory: Recurrent memory before the first step, one a lane; None without.
        accumulators: What the algorithm adds up along each lane, as the last update left it; None without.
        weight: Importance weight, one an example: of sequences, without the axis of time. None means 1.
        mask: Which steps count, with the leading axes of the steps: of sequences, with time. None means all.
    """

    transition: Transition
    memory: Any = None
    accumulators: Any = None
    weight: Float[Array, "*batch"] | None = None
    mask: Bool[Array, "*batch"] | None = None


class Feedback(eqx.Module):
    """What learning hands back to the trainer.

    Attributes:
        priority: One an example, or None where replay is uniform.
        accumulators: What the algorithm adds up along each lane, for the next batch; None without.
    """

    priority: Float[Array, "*batch"] | None = None
    accumulators: Any = None
