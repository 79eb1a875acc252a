"""Run-time checks of shapes, types and values."""

import functools
import inspect
import os
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

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


@overload
def checked(function: _F) -> _F: ...
@overload
def checked(*, widen: bool) -> Callable[[_F], _F]: ...  # pyright: ignore[reportInvalidTypeVarUse]
def checked(function: _F | None = None, *, widen: bool = False):
    """Checks a function's shapes and types each time it is called or traced.

    Arguments annotated as arrays are converted first: NumPy arrays and Python numbers become JAX arrays, and integers
    become floating point where the annotation asks for it. Booleans and lists are not converted, so they are refused.
    Then jaxtyping and beartype compare every argument and the result with the annotations. Under `jit` this happens
    once a trace. `JAXTYPING_DISABLE=1` turns the checks off; the conversion stays.

    With `widen` the function computes in one type, float32 or wider, and its result has the widest type of its array
    arguments: half precision goes in and comes out, but neither sums nor differences are taken in it, and arguments of
    different widths may stand beside each other.

    Args:
        function: Function whose annotations are jaxtyping's.
        widen: Whether array arguments are brought to a common type inside.

    Returns:
        The function with its checks. A mismatch raises `jaxtyping.TypeCheckError`, a `TypeError` that names the
        function, the argument, the axes that were expected and what came.
    """
    if function is None:
        return functools.partial(checked, widen=widen)
    signature = inspect.signature(function)
    arrays = {
        name: _takes_numbers(parameter.annotation)
        for name, parameter in signature.parameters.items()
        if _is_array(parameter.annotation)
    }
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
        if not widen:
            return typed(*bound.args, **bound.kwargs)
        outside, inside = _widths([bound.arguments.get(name) for name, is_knob in arrays.items() if not is_knob])
        if inside is None:
            return typed(*bound.args, **bound.kwargs)
        for name in arrays:
            if name in bound.arguments:
                bound.arguments[name] = _as_type(bound.arguments[name], inside)
        result = typed(*bound.args, **bound.kwargs)
        return jax.tree.map(lambda leaf: _as_type(leaf, outside), result)

    return typing.cast(_F, call)


def _is_array(annotation) -> bool:
    """Whether an annotation asks for a floating-point array that has, or may have, axes."""
    return any("float32" in kind.dtypes and kind.dim_str for kind in _array_types(annotation))


def _is_float(value) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jnp.floating)


def _as_type(value, dtype):
    return value.astype(dtype) if _is_float(value) else value


def _widths(values) -> tuple[Any, Any]:
    """Returns the widest type of some arrays, and the type to compute in."""
    floats = [value for value in values if _is_float(value)]
    if not floats:
        return None, None
    # A Python number that was converted has no say.
    dtypes = {value.dtype for value in floats if not value.weak_type} or {value.dtype for value in floats}
    bits = max(jnp.finfo(dtype).bits for dtype in dtypes)
    widest = {dtype for dtype in dtypes if jnp.finfo(dtype).bits == bits}
    outside = widest.pop() if len(widest) == 1 else jnp.dtype(jnp.float32)  # bfloat16 beside float16
    return outside, outside if bits >= 32 else jnp.dtype(jnp.float32)


def _converter(annotation) -> Callable[[Any], Any] | None:
    """Returns what brings a value to an annotated array type, or None where the annotation names no array."""
    arrays = _array_types(annotation)
    if not arrays:
        return None
    takes_numbers = _takes_numbers(annotation)
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


def _members(annotation) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _array_types(annotation) -> list[type[AbstractArray]]:
    return [kind for kind in _members(annotation) if isinstance(kind, type) and issubclass(kind, AbstractArray)]


def _takes_numbers(annotation) -> bool:
    return any(member in (int, float) for member in _members(annotation))


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
