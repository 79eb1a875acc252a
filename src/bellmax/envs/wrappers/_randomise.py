"""Environments that differ from episode to episode."""

from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import Array, Key, PyTree

from ..._core import Spaces, strong
from .._protocol import AbstractEnvironment, Step
from ._wrapper import AbstractWrapper, WrapperState


class DomainRandomisation(AbstractWrapper):
    """Draws the parameters of the environment anew for every episode.

    Parameters are the array leaves of the environment. Those of brax, MuJoCo Playground and jumanji hold their physics
    as static and have none; for them, a factory that makes an environment a draw is not possible yet.

    What was drawn lives in the state, so under `jax.vmap` every lane has its own. Spaces are those of the environment
    that was given: parameters that change them cannot be drawn.

    Attributes:
        environment: The one whose parameters are drawn.
        draw: Maps the environment and a key to the environment with other leaves.

    Example:
        >>> import equinox as eqx
        >>> from bellmax import envs
        >>> def draw(environment, key):
        ...     goal = jax.random.uniform(key, minval=0.5, maxval=2.0)
        ...     return eqx.tree_at(lambda chain: chain.goal_reward, environment, goal)
        >>> state, _ = DomainRandomisation(envs.Chain(), draw).reset(key=jax.random.key(0))
        >>> [leaf.shape for leaf in state.own if leaf is not None]
        [()]

    References:
        Tobin et al., *Domain Randomization for Transferring Deep Neural Networks from Simulation to the Real World*,
        2017, arXiv:1703.06907.
    """

    environment: AbstractEnvironment
    draw: Callable[[AbstractEnvironment, Key[Array, ""]], AbstractEnvironment]

    @property
    def spaces(self) -> Spaces:
        """The spaces inside."""
        return self.environment.spaces

    def inner(self, state: WrapperState) -> Any:
        """Returns the state of the environment inside."""
        return state.inner

    def reset(self, *, key: Key[Array, ""]) -> tuple[WrapperState, PyTree[Array]]:
        """Draws the parameters and starts an episode."""
        reset_key, draw_key = jax.random.split(key)
        leaves, structure = jax.tree.flatten(self.environment)
        drawn, structure_drawn = jax.tree.flatten(self.draw(self.environment, draw_key))
        if structure_drawn != structure:
            raise TypeError(
                f"DomainRandomisation: draw may change leaves only; the environment is {structure}, draw made "
                f"{structure_drawn}"
            )
        # Only what was drawn is kept: the rest may be large, and every lane has a state.
        own = tuple(None if new is old else strong(new) for new, old in zip(drawn, leaves, strict=True))
        inner, observation = self._with(own).reset(key=reset_key)
        return WrapperState(inner, own), observation

    def step(self, state: WrapperState, action: PyTree[Array], *, key: Key[Array, ""]) -> tuple[WrapperState, Step]:
        """Takes one action under the parameters of this episode."""
        inner, step = self._with(state.own).step(state.inner, action, key=key)
        return WrapperState(inner, state.own), step

    def _with(self, own: tuple[Array | None, ...]) -> AbstractEnvironment:
        """Returns the environment of an episode."""
        leaves, structure = jax.tree.flatten(self.environment)
        return structure.unflatten([old if new is None else new for new, old in zip(own, leaves, strict=True)])
