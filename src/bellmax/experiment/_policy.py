"""What a trained agent does, as a pure function."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key, PyTree

from ..algorithms import AbstractAlgorithm


class Policy(eqx.Module):
    """From an observation, and what is remembered of the episode, to an action.

    All that it needs is in it, as arrays: `jax.vmap` it over observations, `eqx.filter_jit` it, stack several with
    `jax.tree.map`. It is written for one observation of one environment.

    Attributes:
        algorithm: Whose policy.
        state: The algorithm's state, of one seed.
        initial_memory: What is remembered where an episode begins; None if nothing ever is.
        step: Count of environment steps, for schedules of exploration.
        into_bounds: Brings an action inside the bounds of its space.
    """

    algorithm: AbstractAlgorithm
    state: Any
    initial_memory: PyTree[Array]
    step: Float[Array, ""]
    into_bounds: Callable[[PyTree[Array]], PyTree[Array]] = eqx.field(static=True)

    def __call__(
        self,
        observation: PyTree[Array],
        memory: PyTree[Array] = None,
        *,
        key: Key[Array, ""] | None = None,
        explore: bool = False,
    ) -> tuple[PyTree[Array], PyTree[Array]]:
        """Chooses an action.

        Args:
            observation: One observation, as the environment gives it.
            memory: What the last call of this episode returned; None where an episode begins.
            key: Randomness of the choice; the mode needs none.
            explore: Whether to sample as in training; else the policy's mode.

        Returns:
            The action, inside its bounds, and the memory for the next call.

        Raises:
            ValueError: If it should explore without a key.
        """
        if key is None:
            if explore:
                raise ValueError("a policy that explores needs a key; got explore=True without one")
            key = jax.random.key(0)
        memory = self.initial_memory if memory is None else memory
        action, _, memory = self.algorithm.act(
            self.state, observation, memory, step=self.step, key=key, explore=explore
        )
        return self.into_bounds(action), memory
