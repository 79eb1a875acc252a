"""`bellmax evaluate`."""

import dataclasses
import json

from ._agent import load_agent
from ._configuration import check_key
from ._evaluation import evaluate_agent
from ._flags import check_episodes, flag, of_one_run, switch
from ._folder import finite


def evaluate(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    run, options = of_one_run("evaluate", evaluate_options(), words)
    check_episodes(options.episodes)
    check_key(options.key)
    agent = load_agent(run)
    evaluation = evaluate_agent(
        agent.trainer,
        agent.state,
        steps=agent.steps,
        key=options.key,
        episodes=options.episodes,
        sampled=options.sampled,
    )
    print(json.dumps(finite(dataclasses.asdict(evaluation))) if options.json else evaluation)
    return 0


def evaluate_options() -> type:
    """Makes the flags of `evaluate`."""
    flags = [
        flag("episodes", int, 128, "Episodes of each seed, all played at once."),
        flag("key", int, 0, "Number from which the randomness comes; the same key gives the same figures."),
        switch("sampled", "Sample the policy as in training; without it, take its mode and explore nothing."),
        switch("json", "Print one JSON object."),
    ]
    description = (
        "Reports the return of a run's agent: the mean over seeds of each seed's mean, with a 95 % bootstrap interval "
        "over seeds, or over episodes where there is one seed."
    )
    return dataclasses.make_dataclass("EvaluateOptions", flags, namespace={"__doc__": description})
