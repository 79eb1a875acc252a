"""Whether `reset` and `step` are pure functions of the right types."""

import re
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from ..._core import Spaces
from .._protocol import Step
from ._report import Check, Outcome
from ._spaces import check_space, misfit, short
from ._subject import RESETS, Subject, distinct, is_key


def check_spaces(subject: Subject) -> str:
    """Both spaces are gymnasium's."""
    spaces = subject.environment.spaces
    if not isinstance(spaces, Spaces):
        raise TypeError(f"spaces is a {type(spaces).__name__}; expected bellmax.envs.Spaces(observation, action)")
    check_space("observations", spaces.observation)
    check_space("actions", spaces.action)
    return f"observation {short(spaces.observation)}, action {short(spaces.action)}"


def check_reset(subject: Subject) -> str | tuple[Outcome, str]:
    """`reset` gives a state and an observation that fits its space."""
    found = subject.types_of_reset
    if not isinstance(found, tuple) or len(found) != 2:
        return "failed", f"reset returned a {type(found).__name__}; expected (state, observation)"
    wrong = misfit(subject.environment.spaces.observation, found[1], "the first observation")
    return ("failed", wrong) if wrong else "a state, and an observation that fits its space"


def check_step(subject: Subject) -> str | tuple[Outcome, str]:
    """`step` gives a state and a `Step` with scalars of the right types and an observation that fits its space."""
    found = subject.types_of_step(subject.types_of_reset[0])
    if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], Step):
        return "failed", "step must return (state, bellmax.envs.Step(observation, reward, terminated, truncated))"
    step = found[1]
    for name, kind in (("reward", np.floating), ("terminated", np.bool_), ("truncated", np.bool_)):
        value = getattr(step, name)
        if getattr(value, "shape", None) != () or not jnp.issubdtype(value.dtype, kind):
            wanted = "a floating-point scalar" if name == "reward" else "a boolean scalar"
            return "failed", f"{name} is {_describe(value)}; expected {wanted}"
    wrong = misfit(subject.environment.spaces.observation, step.observation, "the observation of a step")
    return ("failed", wrong) if wrong else "a state and a Step: scalar reward, two flags, an observation that fits"


def check_types(subject: Subject) -> str | tuple[Outcome, str]:
    """State and observation keep structure, shapes and types, and none of them is weak."""
    state, observation = subject.types_of_reset
    next_state, step = subject.types_of_step(state)
    for what, first, second in (("state", state, next_state), ("observation", observation, step.observation)):
        if jax.tree.structure(first) != jax.tree.structure(second):
            return "failed", (
                f"the structure of the {what} differs between reset, {jax.tree.structure(first)}, and step, "
                f"{jax.tree.structure(second)}: return the same containers and the same static fields"
            )
        for (path, one), other in zip(jax.tree.leaves_with_path(first), jax.tree.leaves(second), strict=True):
            if _describe(one) != _describe(other) or getattr(one, "weak_type", False):
                return "failed", (
                    f"{what}{jax.tree_util.keystr(path)} is {_describe(one)} after reset and {_describe(other)} after "
                    "step: a loop would not run, or compile twice; write jnp.asarray(x, dtype) in both"
                )
    count = len(jax.tree.leaves(state))
    return f"the same after reset and after step, {count} arrays in the state"


def check_purity(subject: Subject) -> str | tuple[Outcome, str]:
    """Tracing twice gives the same program, so nothing outside the arguments counts."""
    state, _ = subject.types_of_reset
    action = subject.action
    leaves = [np.array(leaf) for leaf in jax.tree.leaves(eqx.filter(subject.environment, eqx.is_array))]
    for name, function, arguments in (
        ("reset", subject.reset, (subject.key,)),
        ("step", subject.step, (state, action, subject.key)),
    ):
        (one, effects), (other, _) = (_program(function, arguments) for _ in range(2))
        if one != other:
            return "failed", (
                f"{name} gave two different programs for the same arguments: it reads or writes something outside "
                "them (a Python attribute, NumPy's random numbers, a clock); keep it in the state or draw it from key"
            )
        if effects:
            return "warning", f"{name} calls back to Python ({effects}): slow, and maybe not pure"
    for before, after in zip(leaves, jax.tree.leaves(eqx.filter(subject.environment, eqx.is_array)), strict=True):
        if not np.array_equal(before, np.asarray(after), equal_nan=before.dtype.kind == "f"):
            return "failed", "the environment's own arrays changed: what changes belongs in the state"
    return "reset and step trace to the same program twice"


def check_determinism(subject: Subject) -> str | tuple[Outcome, str]:
    """The same arguments give the same numbers, from one compilation."""
    traces = []

    @jax.jit
    def step(state, action, key):
        traces.append(1)
        return subject.step(state, action, key)

    state = jax.jit(lambda states: jax.tree.map(lambda leaf: leaf[0], states))(subject.starts[0])
    first, second = (step(state, subject.action, subject.key) for _ in range(2))
    step(first[0], subject.action, subject.key)
    if not same(subject.starts, subject.reset_many(subject.start_keys)):
        return "failed", "reset gave two results for one key: draw everything from the key"
    if not same(first, second):
        return "failed", "step gave two results for the same state, action and key: draw everything from the key"
    if len(traces) > 1:
        return "failed", f"step was compiled {len(traces)} times for two calls: its types change from call to call"
    return "the same arguments give the same numbers; step compiled once"


def check_randomness(subject: Subject) -> str | tuple[Outcome, str]:
    """Other keys give other first states."""
    observations, states = distinct(subject.starts[1]), distinct(subject.starts[0])
    if max(observations, states) == 1:
        return "warning", f"the first state is the same for {RESETS} keys: if that is not meant, draw it from the key"
    return f"{observations} different first observations and {states} different first states of {RESETS} keys"


def same(one: PyTree[Array], other: PyTree[Array]) -> bool:
    """Tells whether two trees are equal bit for bit; NaN equals NaN."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(_numbers(a).tobytes() == _numbers(b).tobytes() for a, b in pairs)


def _program(function: Any, arguments: tuple[Any, ...]) -> tuple[Any, str]:
    """Traces anew, and returns the program without addresses, with its constants; and its effects."""
    closed = jax.make_jaxpr(lambda *arguments: function(*arguments))(*arguments)
    text = re.sub(r"0x[0-9a-f]+", "", str(closed.jaxpr))
    return (text, [_numbers(const).tobytes() for const in closed.consts]), ", ".join(map(str, closed.effects))


def _numbers(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)


def _describe(leaf: Any) -> str:
    if not hasattr(leaf, "dtype"):
        return f"a Python {type(leaf).__name__}"
    return f"{'weak ' * getattr(leaf, 'weak_type', False)}{leaf.dtype}{list(leaf.shape)}"


FIRST: dict[str, Check] = {"spaces": check_spaces, "reset": check_reset, "step": check_step, "types": check_types}
REST: dict[str, Check] = {"purity": check_purity, "determinism": check_determinism, "randomness": check_randomness}
