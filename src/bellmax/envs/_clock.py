"""A clock beside an environment that has none, or whose own calls the end of time a termination."""

from typing import Any, NamedTuple

from jaxtyping import Array, Int


class ClockedState(NamedTuple):
    """The package's own state, and how many steps the episode has lasted."""

    inner: Any
    time: Int[Array, ""]
