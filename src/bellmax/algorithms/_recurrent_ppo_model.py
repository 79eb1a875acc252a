"""The default networks of recurrent PPO."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._core import Distribution, Masked, Spaces
from ..networks import RecurrentNetwork
from ._heads import head_of
from ._networks import _activation, _check_mask


class RecurrentActorCritic(eqx.Module):
    """A policy and a value function, each with a memory of its own.

    Another model with these methods serves as well. `initial` must not look at weights.

    Attributes:
        actor: Maps an observation, without its action mask, and a memory to outputs and a memory.
        critic: Maps them to one feature, the value, and a memory.
        head: Maps the actor's outputs, and the action mask where there is one, to the distribution over actions.
    """

    actor: RecurrentNetwork
    critic: RecurrentNetwork
    head: Any

    def initial(self) -> PyTree[Array]:
        """Returns the memory at the start of an episode."""
        return self.actor.initial(), self.critic.initial()

    def step(
        self, observation: PyTree[Array], memory: PyTree[Array]
    ) -> tuple[Distribution, Float[Array, ""], PyTree[Array]]:
        """Returns the distribution over actions, the value, and the memory after the observation."""
        seen, mask = Masked.of(observation)
        outputs, actor_memory = self.actor(seen, memory[0])
        value, critic_memory = self.critic(seen, memory[1])
        return self._distribution(outputs, mask), value[0], (actor_memory, critic_memory)

    def unroll(
        self, observations: PyTree[Array], memory: PyTree[Array], starts: Bool[Array, " time"]
    ) -> tuple[Distribution, Float[Array, " time"], PyTree[Array]]:
        """Does the same along one lane.

        Args:
            observations: With a leading axis of time.
            memory: Before the first of them.
            starts: Where an episode starts: there the memory is set back first.

        Returns:
            Distributions, values, and the memory after each observation.
        """
        seen, mask = Masked.of(observations)
        outputs, actor_memory = self.actor.unroll(seen, memory[0], starts)
        value, critic_memory = self.critic.unroll(seen, memory[1], starts)
        return jax.vmap(self._distribution)(outputs, mask), value[:, 0], (actor_memory, critic_memory)

    def _distribution(self, outputs: Array, mask: Array | None) -> Distribution:
        return self.head(outputs) if mask is None else self.head(outputs, mask)


def recurrent_actor_critic(
    spaces: Spaces,
    *,
    cell: str,
    input_sizes: Sequence[int],
    memory_size: int,
    hidden_sizes: Sequence[int],
    activation: str,
    key: Key[Array, ""],
) -> RecurrentActorCritic:
    """Makes a network each for the policy and for the value."""
    actor_key, critic_key = jax.random.split(key)
    observation, mask = Masked.of(spaces.observation)
    head = head_of(spaces.action)
    _check_mask(mask, head, spaces)

    def network(size, last_scale, key):
        return RecurrentNetwork(
            observation,
            size,
            input_sizes=input_sizes,
            memory_size=memory_size,
            hidden_sizes=hidden_sizes,
            cell=cell,
            activation=_activation(activation),
            last_scale=last_scale,
            key=key,
        )

    return RecurrentActorCritic(network(head.size, 0.01, actor_key), network(1, 1.0, critic_key), head)
