"""Checks of the ends of episodes outside JAX."""

import numpy as np

from .._host import HostStep
from ._host_subject import LANES, HostSubject, equal_lanes, row
from ._report import Outcome, count_ends

_OFTEN = 0.9


def check_ends(subject: HostSubject) -> str | tuple[Outcome, str]:
    """Episodes end."""
    terminated, truncated = (np.stack([getattr(s, n) for s in subject.played[1]]) for n in ("terminated", "truncated"))
    return count_ends(terminated, truncated, subject.steps)


def check_final_observation(subject: HostSubject) -> str | tuple[Outcome, str]:
    """At an end the observation is not the next episode's first; elsewhere it is what the policy sees next."""
    played = subject.played[1]
    for step, outcome in enumerate(played, 1):
        ended = outcome.terminated | outcome.truncated
        if (ended & ~outcome.valid).any():
            return "failed", f"step {step} is not valid and yet an end: a lane that only begins anew has no end"
        if not equal_lanes(outcome.observation, outcome.start)[~ended & outcome.valid].all():
            return "failed", f"at step {step} no episode ended, but `start` is not `observation`: they must be equal"
    ends, firsts, elsewhere = _like_the_next_first(played)
    if not ends:
        return "not applicable", "no episode ended"
    share = float(np.mean(ends))
    if share < _OFTEN:
        return f"the observations at {len(ends)} ends are not the next episode's first"
    if len(firsts) == 1 and all(elsewhere):
        return "not applicable", "every observation is the same, so the true one at an end cannot be told"
    found = f"the observation equals the next episode's first at {share:.0%} of {len(ends)} ends"
    if elsewhere and np.mean(elsewhere) >= _OFTEN:
        return "warning", f"{found}, but so it does at {np.mean(elsewhere):.0%} of the other steps: it cannot be told"
    return "failed", (
        f"{found}: give the true successor (gymnasium's vector environments have it in info), and the first one in "
        "`start`"
    )


def _like_the_next_first(played: list[HostStep]) -> tuple[list[bool], set[bytes], list[bool]]:
    """Compares observations with the first one of the lane's next episode: at ends, all such, and at other steps."""
    at_ends, firsts, elsewhere = [], set(), []
    for lane in range(LANES):
        first = None
        for outcome, following in zip(reversed(played), [None, *reversed(played[1:])], strict=True):
            if not outcome.valid[lane]:
                continue
            shown = row(outcome.observation, lane)
            if not (outcome.terminated[lane] or outcome.truncated[lane]):
                elsewhere += [] if first is None else [shown == first]
            elif following is not None:  # a lane may begin anew in a step of its own, which is not valid
                first = row((outcome if following.valid[lane] else following).start, lane)
                firsts.add(first)
                at_ends.append(shown == first)
    return at_ends, firsts, elsewhere
