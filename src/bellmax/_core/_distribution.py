"""What is asked of a distribution by folders that do not know distrax."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, PyTree


@runtime_checkable
class Distribution(Protocol):
    """A distribution over actions, such as those of `bellmax.policies` and of distrax."""

    def sample(self, *, seed: Any, sample_shape: Any = ()) -> PyTree[Array]:
        """Draws an action."""
        ...

    def mode(self) -> PyTree[Array]:
        """Returns the likeliest action."""
        ...

    def log_prob(self, value: Any) -> Float[Array, "*batch"]:
        """Returns the log-probability, or log-density, of an action in nats."""
        ...

    def entropy(self) -> Float[Array, "*batch"]:
        """Returns the entropy in nats."""
        ...
