"""One case for each public function of layers 1 and 2: how to call it, what it should give, and what would be wrong.

`tests/test_conformance.py` runs the same laws over all of them, and finds the functions by introspection: a new one has
to bring its case along, as a line of `CASES` in one of the modules beside this one.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Case:
    """How a function is tested.

    Attributes:
        function: The public function.
        draw: Maps a NumPy generator and batch axes to the array arguments by name: floats as float64, indices as int32,
            masks as bool. Values should lie well inside what the function accepts; ends of episodes, zeros in masks and
            the like belong in, so that the laws see them.
        oracle: The same by plain NumPy in float64, from the same arguments by name and `static`; an array, or a list
            of arrays in the order of the leaves of the function's result. Independent of the source: a loop.
        learns: Arguments through which a gradient flows; every other float argument must have gradient exactly zero.
            None if all of them.
        static: Further keyword arguments, which are not arrays.
        axis: Where the batch axes of each argument start: 0, or 1 behind `time`, `members` or `samples`.
        axes: Where they start in arguments for which it is not `axis`; None for an argument without batch axes.
        out: Where they start in the result, if not `axis`.
        wide: Whether the result is at least float32, as log-probabilities, entropies and moments are.
        coupled: Whether the function couples its examples: it takes `axis_name`, and returns a scalar loss or the
            examples' own numbers.
        observe: Maps the result and the arguments named in `observed` to arrays, where the result holds none that can
            be compared: a distribution, say.
        observed: Names among those drawn that are for `observe` alone.
        edges: Argument changes at which the result and its gradients must be finite, as keyword arguments that replace
            those of `draw(generator, edge_batch)`; the values are broadcast to what they replace.
        edge_batch: Batch axes for `edges`.
        faults: Changes of the function's source, (old, new) with `old` found exactly once in its module, that the
            comparison with the oracle, the gradient law or the edges must see.
        module: Module in which the faults are planted, if not the function's own.
        smooth: Whether finite differences can follow it at what is drawn.
        broadcasts: Arguments that may have fewer or shorter axes than the others.
        hides: Arguments in which a NaN need not show: a mask, say.
        rtol: Tolerance against the oracle in float32, relative and absolute at unit scale.
        rtol64: The same in float64.
    """

    function: Callable
    draw: Callable[[np.random.Generator, tuple[int, ...]], dict[str, Any]]
    oracle: Callable[..., Any]
    learns: tuple[str, ...] | None = None
    static: Mapping[str, Any] = field(default_factory=dict)
    axis: int = 0
    axes: Mapping[str, int | None] = field(default_factory=dict)
    out: int | None = None
    wide: bool = False
    coupled: bool = False
    observe: Callable | None = None
    observed: tuple[str, ...] = ()
    edges: tuple[Mapping[str, Any], ...] = ()
    edge_batch: tuple[int, ...] = (3,)
    faults: tuple[tuple[str, str], ...] = ()
    module: str | None = None
    smooth: bool = True
    broadcasts: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    rtol: float = 1e-5
    rtol64: float = 1e-9


def _gather(attribute: str) -> dict[str, Any]:
    gathered: dict[str, Any] = {}
    for found in pkgutil.iter_modules(__path__):
        for name, case in getattr(importlib.import_module(f"{__name__}.{found.name}"), attribute, {}).items():
            assert name not in gathered, f"two cases are called {name}"
            gathered[name] = case
    return gathered


def all_cases() -> dict[str, Case]:
    """Returns every case by its name: `folder.function`, or `folder.function: variant`."""
    return _gather("CASES")


def all_exempt() -> dict[str, str]:
    """Returns what has no case, with the reason and the file that tests it instead."""
    return _gather("EXEMPT")
