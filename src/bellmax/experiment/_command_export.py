"""`bellmax export`."""

import dataclasses
from pathlib import Path

from ._agent import load_agent
from ._export import check_suffix, export_policy
from ._flags import flag, of_one_run, switch


def export(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    run, options = of_one_run("export", export_options(), words)
    check_suffix(options.out)
    agent = load_agent(run)
    policy = agent.policy(options.seed)
    export_policy(policy, agent.spaces, options.out, explore=options.sampled)
    print(options.out)
    return 0


def export_options() -> type:
    """Makes the flags of `export`."""
    flags = [
        flag("out", Path, Path("policy.jax"), "Where to: .jax for JAX, .mlir for StableHLO text."),
        flag("seed", int, 0, "Which of the run's seeds."),
        switch("sampled", "Sample the policy as in training, by a seed for each row; without it, take its mode."),
    ]
    description = (
        "Writes a policy as a program of its own, which takes a batch of observations and returns actions. It is "
        "compared with the policy before it is written."
    )
    return dataclasses.make_dataclass("ExportOptions", flags, namespace={"__doc__": description})
