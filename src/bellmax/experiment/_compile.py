"""How a run compiles, and how its programs start."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_SEQUENTIAL = {"xla_cpu_enable_concurrency_optimized_scheduler": False}


def compiled(function: Callable[..., Any], **settings: Any) -> Any:
    """Compiles as `jax.jit` does; on a CPU without XLA's scheduler for concurrency.

    That scheduler costs small programs half of their speed, and some large ones, brax's among them, now and then wait
    for each other for ever.

    Args:
        function: What to compile.
        **settings: Passed to `jax.jit`.

    Returns:
        The compiled function.
    """
    return jax.jit(function, compiler_options=_options(), **settings)


def dispatch_inline() -> None:
    """Lets programs on a CPU run in the thread that calls them; only before JAX first touches a device.

    JAX hands a program to another thread, which for the small ones that choose actions outside JAX takes several times
    as long as the program itself. Nothing is lost: a run waits for each of its programs.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)


@functools.cache
def _options() -> dict[str, Any] | None:
    """Returns the options that this version of XLA knows."""
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(jnp.negative, compiler_options=_SEQUENTIAL).lower(0.0).compile()
    except Exception:  # XLA names its options differently from version to version, and raises its own kinds
        return None
    return _SEQUENTIAL
