"""Actions that stick."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from ..._core import RealScalarLike, example, guard
from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractStatefulWrapper, WrapperState


class StickyAction(AbstractStatefulWrapper):
    """Now and then takes the action of the step before again, in place of the one given.

    What is repeated is what was really taken, so an action may stick for several steps. The first action of an episode
    is always the one given. An action that is repeated may be one that the action mask forbids by now.

    Attributes:
        environment: The one inside.
        probability: How likely an action sticks.

    References:
        Machado et al., *Revisiting the Arcade Learning Environment*, 2018, arXiv:1709.06009.
    """

    environment: AbstractEnvironment
    probability: RealScalarLike = 0.25

    def __check_init__(self):
        guard(self.probability, lambda p: (p >= 0) & (p <= 1), "StickyAction: probability must be in [0, 1]")

    def reset(self, *, key: Key[Array, ""]) -> tuple[WrapperState, PyTree[Array]]:
        """Starts an episode."""
        inner, observation = self.environment.reset(key=key)
        return WrapperState(inner, (example(self.spaces.action), jnp.array(True))), observation

    def step(self, state: WrapperState, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[WrapperState, Step]:
        """Takes one action, or the last one again."""
        step_key, stick_key = jax.random.split(key)
        last, is_first = state.own
        sticks = ~is_first & jax.random.bernoulli(stick_key, self.probability)
        taken = jax.tree.map(lambda old, new: jnp.where(sticks, old, jnp.asarray(new, old.dtype)), last, action)
        inner, step = self.environment.step(state.inner, taken, key=step_key)
        return WrapperState(inner, (taken, jnp.array(False))), step
