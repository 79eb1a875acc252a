"""Checks of an environment outside JAX."""

import dataclasses
import functools
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from .._host import AbstractHostEnvironment, HostStep
from ._report import Check, Outcome, run_checks
from ._spaces import check_space, excess, misfit, short

LANES = 4


@dataclasses.dataclass(frozen=True, eq=False)
class HostSubject:
    """A host environment under check, and what it did so far.

    Attributes:
        environment: The environment.
        seed: Randomness of the check.
        steps: Steps of each lane.
    """

    environment: AbstractHostEnvironment
    seed: int
    steps: int

    @functools.cached_property
    def actions(self) -> list[Any]:
        """One random action a lane for every step."""
        space = self.environment.spaces.action
        space.seed(self.seed)
        draws = [[space.sample() for _ in range(LANES)] for _ in range(self.steps)]
        return [jax.tree.map(lambda *parts: np.stack(parts), *lanes) for lanes in draws]

    def play(self, seed: int, steps: int, environments: Any = None) -> tuple[Any, list[HostStep]]:
        """Plays the actions from a reset; returns copies of the first observations and of every step."""
        started = environments or self.environment.start(LANES)
        try:
            start = _copy(started.reset(seed=seed))
            return start, [_copy(started.step(action)) for action in self.actions[:steps]]
        finally:
            if environments is None:
                started.close()

    @functools.cached_property
    def played(self) -> tuple[Any, list[HostStep]]:
        """The whole rollout."""
        return self.play(self.seed, self.steps)


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
    if not _same((start, played[:steps]), subject.play(subject.seed, steps)):
        return "failed", "the same seed and actions gave other numbers: seed everything that is random in reset(seed=)"
    environments = subject.environment.start(LANES)
    try:
        again = [subject.play(subject.seed, steps, environments) for _ in range(2)][1]
    finally:
        environments.close()
    if not _same((start, played[:steps]), again):
        return "failed", "a second reset with the same seed gave other numbers: something survives the reset"
    rows = {b"".join(leaf[lane].tobytes() for leaf in jax.tree.leaves(start)) for lane in range(LANES)}
    if _same(start, subject.play(subject.seed + 1, 0)[0]):
        return "warning", "another seed gives the same first observations: if that is not meant, use the seed"
    if len(rows) == 1:
        return "failed", "all lanes begin with the same observation, though other seeds give others: seed each apart"
    return f"the same seed gives the same {steps} steps; another seed others, and so do lanes"


def check_ownership(subject: HostSubject) -> str | tuple[Outcome, str]:
    """Nothing writes later into arrays that were given out."""
    environments = subject.environment.start(LANES)
    try:
        given = [environments.reset(seed=subject.seed)]
        copies = [_copy(given[0])]
        for action in subject.actions[:8]:
            given.append(environments.step(action))
            copies.append(_copy(given[-1]))
    finally:
        environments.close()
    for step, (mine, copy) in enumerate(zip(given, copies, strict=True)):
        if not _same(mine, copy):
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


def check_ends(subject: HostSubject) -> str | tuple[Outcome, str]:
    """Episodes end."""
    terminated, truncated = (np.stack([getattr(s, n) for s in subject.played[1]]) for n in ("terminated", "truncated"))
    ended = terminated | truncated
    if not ended.any():
        return "warning", (
            f"no episode ended within {subject.steps} steps: training would never see a return; if there should be a "
            "time limit, set `truncated` at it, or look at more steps"
        )
    return (
        f"{ended.sum()} episodes: {(terminated & ~truncated).sum()} terminated, {(truncated & ~terminated).sum()} "
        f"truncated, {(terminated & truncated).sum()} both at once"
    )


def check_final_observation(subject: HostSubject) -> str | tuple[Outcome, str]:
    """At an end the observation is not the next episode's first; elsewhere it is what the policy sees next."""
    equal_at_ends, played = [], subject.played[1]
    for step, (outcome, following) in enumerate(zip(played, [*played[1:], None], strict=True), 1):
        ended = outcome.terminated | outcome.truncated
        equal = _equal_lanes(outcome.observation, outcome.start)
        if (ended & ~outcome.valid).any():
            return "failed", f"step {step} is not valid and yet an end: a lane that only begins anew has no end"
        if not equal[~ended & outcome.valid].all():
            return "failed", f"at step {step} no episode ended, but `start` is not `observation`: they must be equal"
        if following is not None:  # a lane may begin anew in a step of its own, which is not valid
            later = _equal_lanes(outcome.observation, following.start)
            equal = np.where(following.valid, equal, later)
            equal_at_ends += list(equal[ended])
    if not equal_at_ends:
        return "not applicable", "no episode ended"
    share = float(np.mean(equal_at_ends))
    if share >= 0.9:
        return "failed", (
            f"the observation equals the next episode's first at {share:.0%} of {len(equal_at_ends)} ends: give the "
            "true successor (gymnasium's vector environments have it in info), and the first one in `start`"
        )
    return f"the observations at {len(equal_at_ends)} ends are not the next episode's first"


def _misfit(subject: HostSubject, observations: Any, what: str) -> str | None:
    if not all(getattr(leaf, "shape", ())[:1] == (LANES,) for leaf in jax.tree.leaves(observations)):
        return f"{what} has no leading axis of {LANES} lanes"
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), observations)
    return misfit(subject.environment.spaces.observation, one, what)


def _equal_lanes(one: Any, other: Any) -> np.ndarray:
    """Tells for each lane whether its observations are equal."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return np.all([(a == b).reshape(LANES, -1).all(axis=1) for a, b in pairs], axis=0)


def _copy(tree: Any) -> Any:
    return jax.tree.map(np.array, tree)


def _same(one: Any, other: Any) -> bool:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return all(a.dtype == b.dtype and np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


FIRST: dict[str, Check] = {"spaces": check_spaces, "reset": check_reset, "step": check_step}
REST: dict[str, Check] = {
    "pickles": check_pickle,
    "seeds": check_seeds,
    "arrays not reused": check_ownership,
    "numbers": check_numbers,
    "episodes end": check_ends,
    "true final observation": check_final_observation,
}
