"""What a long random rollout shows: numbers, bounds, and above all the ends of episodes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ._report import Check, Outcome, count_ends
from ._rollout import LANES, Lane, Seen, equal
from ._spaces import excess
from ._subject import RESETS, Subject, distinct

_CANDIDATES = RESETS // LANES
"""Keys derived from that of a step with which it may have reset: as many as fit one call of `reset_many`."""


def check_rollout(subject: Subject) -> str | tuple[Outcome, str]:
    """A long random rollout runs under `vmap` and `scan`, and its numbers are finite."""
    _, seen = subject.rollout
    bad = np.argwhere(~np.asarray(seen.finite))
    if len(bad):
        return "failed", f"a reward, an observation or a state is not finite, first at step {bad[0][0] + 1} of a lane"
    return f"{LANES} lanes of {subject.steps} random steps under vmap and scan, all numbers finite"


def check_bounds(subject: Subject) -> str | tuple[Outcome, str]:
    """Observations stay inside the bounds of their space, first and final ones included."""
    space = subject.environment.spaces.observation
    at_start = float(jax.jit(lambda seen: jnp.max(jax.vmap(lambda each: excess(space, each))(seen)))(subject.starts[1]))
    largest = max(at_start, float(np.max(subject.rollout[1].excess)))
    if largest > 0:
        where = "a first observation" if at_start == largest else "an observation"
        return "failed", f"{where} lies {largest:.3g} outside its space: widen the space's bounds, or clip"
    return "every observation lies inside its space"


def check_ends(subject: Subject) -> str | tuple[Outcome, str]:
    """Episodes end."""
    _, seen = subject.rollout
    terminated, truncated = np.asarray(seen.terminated), np.asarray(seen.truncated)
    lengths = np.asarray(seen.length)[terminated | truncated]
    known = f" of {lengths.min()} to {lengths.max()} steps" if len(lengths) else ""
    return count_ends(terminated, truncated, subject.steps, known)


def check_final_observation(subject: Subject) -> str | tuple[Outcome, str]:
    """The observation at an end is the true successor, and not the first one of the next episode."""
    lanes, seen = subject.rollout
    ended = _ended(seen)
    if not ended.any():
        return "not applicable", "no episode ended"
    advice = "return the successor's observation, and leave the reset to the loop"
    place = _reset_key(subject, lanes)
    if place is not None:
        return "failed", f"at an end the observation is that of reset(key={place}): {advice}"
    constant = distinct(subject.starts[1]) == 1
    for looks, what in ((seen.as_first, "equals the first one of its episode"), (seen.like_first, "is like a first")):
        at_ends, between = _shares(looks, ended)
        if at_ends >= 0.9 and between <= 0.5:
            outcome: Outcome = "warning" if constant else "failed"
            return outcome, (
                f"the observation {what} at {at_ends:.0%} of {ended.sum()} ends, but at {between:.0%} of other steps: "
                f"it looks like one after a reset; {advice}"
            )
    if _shares(seen.like_first, ended)[1] > 0.5:
        if constant:
            return "not applicable", "every observation looks like the first one, so this cannot be told"
        return "at ends it is no reset's; any observation may be a first one here, so this is all that can be said"
    return f"the observations at {ended.sum()} ends are not first ones"


def check_no_reset(subject: Subject) -> str | tuple[Outcome, str]:
    """The state after an end is not one at the start of an episode."""
    _, seen = subject.rollout
    ended = _ended(seen)
    if not ended.any():
        return "not applicable", "no episode ended"
    at_ends, between = _shares(seen.state_like_first, ended)
    if ended.all() or between > 0.5:
        return "not applicable", "states in the middle of an episode look like first ones, so this cannot be told"
    if at_ends >= 0.9:
        return "failed", (
            f"the state after {at_ends:.0%} of {ended.sum()} ends is one at the start of an episode, but after "
            f"{between:.0%} of other steps: the environment resets itself; leave that to the loop"
        )
    return f"the states after {ended.sum()} ends are not those of a new episode"


def _reset_key(subject: Subject, lanes: Lane) -> str | None:
    """Names the key, among those near to a step's own, with which the step made its final observation by a reset."""

    @jax.jit
    def candidates(keys):
        derive = jax.vmap(lambda key: jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(_CANDIDATES - 1)))
        return jnp.concatenate([keys[:, None], derive(keys)], axis=1).reshape(RESETS)

    @jax.jit
    def compare(observations, finals):
        finals = jax.tree.map(lambda leaf: jnp.repeat(leaf, _CANDIDATES, axis=0), finals)
        return jax.vmap(equal)(observations, finals).reshape(LANES, _CANDIDATES)

    observations = subject.reset_many(candidates(lanes.end_key))[1]
    hits = np.asarray(compare(observations, lanes.final_observation))[np.asarray(lanes.ended)]
    if len(hits) < 4:
        return None
    shares = hits.mean(axis=0)
    place = int(shares.argmax())
    if shares[place] < 1 or np.delete(shares, place).mean() > 0.6:
        return None
    return "key" if place == 0 else f"jax.random.split(key, ...)[{place - 1}]"


def _ended(seen: Seen) -> np.ndarray:
    return np.asarray(seen.terminated) | np.asarray(seen.truncated)


def _shares(flags: Bool[Array, "..."], ended: np.ndarray) -> tuple[float, float]:
    """Returns how often something is so at ends, and at other steps (always, where there are none)."""
    looks = np.asarray(flags)
    return float(looks[ended].mean()), float(looks[~ended].mean()) if (~ended).any() else 1.0


REST: dict[str, Check] = {
    "rollout": check_rollout,
    "bounds": check_bounds,
    "episodes end": check_ends,
    "true final observation": check_final_observation,
    "no reset of its own": check_no_reset,
}
