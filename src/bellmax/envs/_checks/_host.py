"""Checks of an environment outside JAX."""

import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._host import AbstractHostEnvironment, HostStep
from ._host_ends import check_ends, check_final_observation
from ._host_subject import LANES, HostSubject, copied, row, same
from ._report import Check, Outcome, run_checks
from ._spaces import check_space, excess, misfit, short

_SEEDS = 8
"""How many must agree before it is no accident."""


def check_host(environment: AbstractHostEnvironment, *, key: Key[Array, ""], steps: int):
    """Runs all checks of a host environment, and yields what each found."""
    seed = int(jax.random.randint(key, (), 0, 2**31 - 1))
    return run_checks(HostSubject(environment, seed, steps), FIRST, REST)


def check_spaces(subject: HostSubject) -> str:
    """Both spaces are gymnasium's."""
    spaces = subject.environment.spaces
    check_space("observations", spaces.observation)
    check_space("actions", spaces.action)
    return f"observation {short(spaces.observation)}, action {short(spaces.action)}"


def check_reset(subject: HostSubject) -> str | tuple[Outcome, str]:
    """`reset` gives an observation a lane."""
    environments = subject.environment.start(LANES)
    try:
        wrong = _misfit(subject, environments.reset(seed=subject.seed), "a first observation")
    finally:
        environments.close()
        environments.close()
    return ("failed", wrong) if wrong else f"{LANES} observations that fit their space; close may be called twice"


def check_step(subject: HostSubject) -> str | tuple[Outcome, str]:
    """`step` gives a `HostStep` of arrays with a leading axis of lanes."""
    _, (step,) = subject.play(subject.seed, 1)
    if not isinstance(step, HostStep):
        return "failed", f"step returned a {type(step).__name__}; expected a HostStep"
    for name, kind in (("reward", "f"), ("terminated", "b"), ("truncated", "b"), ("valid", "b")):
        value = getattr(step, name)
        if not isinstance(value, np.ndarray) or value.shape != (LANES,) or value.dtype.kind != kind:
            got = f"{value.dtype}{list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
            return "failed", f"{name} is {got}; expected {'floats' if kind == 'f' else 'booleans'}, one a lane"
    wrong = _misfit(subject, step.observation, "an observation") or _misfit(subject, step.start, "a start")
    return ("failed", wrong) if wrong else "a HostStep: rewards, flags and observations, one a lane"


def check_pickle(subject: HostSubject) -> str | tuple[Outcome, str]:
    """The environment can travel to a worker process."""
    try:
        spaces = pickle.loads(pickle.dumps(subject.environment)).spaces
    except Exception as error:
        return "warning", f"it does not pickle ({error}), so no worker can step it: make it of a module's own function"
    same = spaces == subject.environment.spaces
    return "it pickles" if same else ("failed", "unpickled, it has other spaces")


def check_seeds(subject: HostSubject) -> str | tuple[Outcome, str]:
    """The same seed and actions give the same numbers, resets included; lanes and seeds differ."""
    steps = min(subject.steps, 200)
    start, played = subject.played
    if not same((start, played[:steps]), subject.play(subject.seed, steps)):
        return "failed", "the same seed and actions gave other numbers: seed everything that is random in reset(seed=)"
    environments = subject.environment.start(LANES)
    try:
        again = [subject.play(subject.seed, steps, environments) for _ in range(2)][1]
        others = [subject.play(subject.seed + more, 0, environments)[0] for more in range(1, _SEEDS)]
    finally:
        environments.close()
    if not same((start, played[:steps]), again):
        return "failed", "a second reset with the same seed gave other numbers: something survives the reset"
    if all(same(start, other) for other in others):
        return "warning", "other seeds give the same first observations: if that is not meant, use the seed"
    if all(len({row(each, lane) for lane in range(LANES)}) == 1 for each in (start, *others)):
        return "failed", "all lanes begin with the same observation, though other seeds give others: seed each apart"
    return f"the same seed gives the same {steps} steps; another seed others, and so do lanes"


def check_ownership(subject: HostSubject) -> str | tuple[Outcome, str]:
    """Nothing writes later into arrays that were given out."""
    environments = subject.environment.start(LANES)
    try:
        given = [environments.reset(seed=subject.seed)]
        copies = [copied(given[0])]
        for time in range(min(subject.steps, 8)):
            given.append(environments.step(subject.act(time, copies[-1].start if time else copies[0])))
            copies.append(copied(given[-1]))
    finally:
        environments.close()
    for step, (mine, copy) in enumerate(zip(given, copies, strict=True)):
        if not same(mine, copy):
            return "failed", f"arrays of step {step} changed when later steps were taken: give out copies"
    return "arrays that were given out stay as they are"


def check_numbers(subject: HostSubject) -> str | tuple[Outcome, str]:
    """Rewards and observations are finite, and inside their space."""
    space, (start, played) = subject.environment.spaces.observation, subject.played
    for step, outcome in enumerate(played, 1):
        numbers = jax.tree.leaves((outcome.reward, outcome.observation, outcome.start))
        if not all(np.isfinite(leaf).all() for leaf in numbers):
            return "failed", f"a reward or an observation is not finite, first at step {step}"
    stacked = jax.tree.map(lambda *leaves: np.concatenate(leaves), start, *[s.observation for s in played])
    largest = float(jax.jit(lambda seen: jnp.max(jax.vmap(lambda each: excess(space, each))(seen)))(stacked))
    if largest > 0:
        return "failed", f"an observation lies {largest:.3g} outside its space: widen the space's bounds, or clip"
    return f"{LANES} lanes of {len(played)} random steps, all numbers finite and inside their space"


def _misfit(subject: HostSubject, observations: Any, what: str) -> str | None:
    if not all(getattr(leaf, "shape", ())[:1] == (LANES,) for leaf in jax.tree.leaves(observations)):
        return f"{what} has no leading axis of {LANES} lanes"
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), observations)
    return misfit(subject.environment.spaces.observation, one, what)


FIRST: dict[str, Check] = {"spaces": check_spaces, "reset": check_reset, "step": check_step}
REST: dict[str, Check] = {
    "pickles": check_pickle,
    "seeds": check_seeds,
    "arrays not reused": check_ownership,
    "numbers": check_numbers,
    "episodes end": check_ends,
    "true final observation": check_final_observation,
}
