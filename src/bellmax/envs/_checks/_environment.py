"""Checks of an environment: a user's own, or one of a package."""

from jaxtyping import Array, Key

from .._host import AbstractHostEnvironment
from .._protocol import AbstractEnvironment
from . import _ends, _pure
from ._host import check_host
from ._report import Report, run_checks
from ._subject import Subject


def check_environment(
    environment: AbstractEnvironment | AbstractHostEnvironment, *, key: Key[Array, ""], steps: int = 1000
) -> Report:
    """Checks whether an environment keeps what training relies on.

    Spaces and what fits them, types that stay the same, purity, determinism under a key, first states that differ,
    finite numbers, ends of episodes, and that the observation at an end is the true successor. For an environment
    outside JAX: the same as far as it can be seen, seeds, and arrays that are not reused.

    Actions are random, so what they do not reach is not seen. Whether an observation at an end belongs to the next
    episode is told from what `reset` gives, and cannot be told where any observation may be a first one.

    Args:
        environment: The environment.
        key: Randomness of the check.
        steps: Steps of each of 16 lanes that act at random; episodes should end within them.

    Returns:
        The findings.

    Raises:
        TypeError: If it is no environment.
        ValueError: If there are no steps.

    Example:
        >>> import jax
        >>> from bellmax import envs
        >>> check_environment(envs.make("toy/chain"), key=jax.random.key(0), steps=50).passed
        True
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1; got {steps}")
    name = " ".join(repr(environment).split())
    name = name if len(name) <= 60 else type(environment).__name__
    if isinstance(environment, AbstractHostEnvironment):
        return Report(name, tuple(check_host(environment, key=key, steps=steps)))
    if not isinstance(environment, AbstractEnvironment):
        raise TypeError(
            f"expected an AbstractEnvironment or an AbstractHostEnvironment; got a {type(environment).__name__}"
        )
    subject = Subject(environment, key, steps)
    findings = run_checks(subject, _pure.FIRST, _pure.REST | _ends.REST)
    return Report(name, tuple(findings))
