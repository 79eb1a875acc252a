"""What jumanji and XLand-MiniGrid share: DeepMind's time step, whose discount tells the ends apart."""

from typing import Any

from jaxtyping import Array, PyTree

from ._protocol import Step


def step_of(timestep: Any, observation: PyTree[Array], info: dict[str, Any]) -> Step:
    """Reads a time step: the last one terminated where its discount is zero, and was truncated otherwise."""
    last = timestep.last()
    ends = timestep.discount == 0
    return Step(observation, timestep.reward, last & ends, last & ~ends, info)
