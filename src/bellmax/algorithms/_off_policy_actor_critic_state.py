"""What actor-critics that learn from replay carry from update to update."""

from typing import Any

import equinox as eqx
import optax
from jaxtyping import Array, Float

from .._core import Counter
from ..transforms import Moments
from ._exploration import ActionBox, Options


class Temperature(eqx.Module):
    """A temperature that is learned.

    Attributes:
        log_alpha: Its logarithm.
        optimiser: State of its optimiser.
    """

    log_alpha: Float[Array, ""]
    optimiser: optax.OptState


class OffPolicyActorCriticState(eqx.Module):
    """What these algorithms carry from update to update; what one does not have is None.

    Attributes:
        actor: Maps an observation to an action, or to a distribution, in [−1, 1]; to logits if actions are discrete.
        critics: An ensemble in one module, whose arrays have a leading axis `members`.
        target_critics: What is bootstrapped from.
        actor_optimiser: State of the actor's optimiser.
        critic_optimiser: State of the critics' optimiser.
        updates: Count of updates.
        actions: Which actions there are.
        target_actor: The actor that is bootstrapped with.
        temperature: What an entropy of one nat is worth.
        moments: Of the observations.
    """

    actor: Any
    critics: Any
    target_critics: Any
    actor_optimiser: optax.OptState
    critic_optimiser: optax.OptState
    updates: Counter
    actions: ActionBox | Options
    target_actor: Any = None
    temperature: Temperature | None = None
    moments: Moments | None = None
