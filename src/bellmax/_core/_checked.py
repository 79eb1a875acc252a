"""Run-time checks of shapes, types and values."""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from beartype import beartype
from jax.core import Tracer
from jaxtyping import AbstractArray, Array, Float, Int, jaxtyped

RealScalarLike = float | int | Float[Array, ""] | Int[Array, ""]
"""A knob: a Python number, or an array without axes when it is swept or scheduled."""

_F = TypeVar("_F", bound=Callable[..., Any])


def checked(function: _F) -> _F:
    """Checks a function's shapes and types each time it is called or traced.

    Arguments annotated as arrays are converted first: NumPy arrays and Python numbers become JAX arrays, and integers
    become floating point where the annotation asks for it. Booleans and lists are not converted, so they are refused.
    Then jaxtyping and beartype compare every argument and the result with the annotations. Under `jit` this happens
    once a trace. `JAXTYPING_DISABLE=1` turns the checks off; the conversion stays.

    Args:
        function: Function whose annotations are jaxtyping's.

    Returns:
        The function with its checks. A mismatch raises `jaxtyping.TypeCheckError`, a `TypeError` that names the
        function, the argument, the axes that were expected and what came.
    """
    signature = inspect.signature(function)
    converters = {
        name: convert
        for name, parameter in signature.parameters.items()
        if (convert := _converter(parameter.annotation)) is not None
    }
    typed = jaxtyped(function, typechecker=beartype)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__qualname__}{signature}: {error}") from None
        for name, convert in converters.items():
            if name in bound.arguments:
                bound.arguments[name] = convert(bound.arguments[name])
        return typed(*bound.args, **bound.kwargs)

    return typing.cast(_F, call)


def _converter(annotation) -> Callable[[Any], Any] | None:
    """Returns what brings a value to an annotated array type, or None where the annotation names no array."""
    members = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    arrays = [member for member in members if isinstance(member, type) and issubclass(member, AbstractArray)]
    if not arrays:
        return None
    takes_numbers = any(member in (int, float) for member in members)
    wants_float = any("float32" in member.dtypes for member in arrays)

    def convert(value):
        if isinstance(value, np.ndarray | np.generic):
            value = jnp.asarray(value)
        elif type(value) in (int, float):
            if takes_numbers:
                return value
            value = jnp.asarray(float(value) if wants_float else value)
        if wants_float and isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.integer):
            value = value.astype(float)
        return value

    return convert


def _is_union(annotation) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def guard(value, is_valid: Callable[[Any], Any], message: str):
    """Refuses a value outside its range.

    A concrete value raises `ValueError` at once. Under a transform values are not known: there the check costs
    nothing and does nothing, unless the environment variable `BELLMAX_GUARDS=1` was set when the function was traced;
    then `equinox.error_if` raises at run time.

    Args:
        value: A number or an array.
        is_valid: Maps the value to booleans; NaN should give False.
        message: What is expected, named as the user named it.

    Returns:
        The value, to be used in its place.
    """
    if not isinstance(value, Tracer):
        if not np.all(is_valid(np.asarray(value))):
            raise ValueError(f"{message}; got {value}")
        return value
    if os.environ.get("BELLMAX_GUARDS", "0") not in ("", "0"):
        return eqx.error_if(value, ~jnp.all(is_valid(value)), message)
    return value
