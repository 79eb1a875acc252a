"""`bellmax render`."""

import dataclasses
from pathlib import Path

from ._agent import load_agent
from ._configuration import UsageError, check_key
from ._episode import draw_episode, import_imageio
from ._flags import flag, of_one_run

_PICTURES = {".gif", ".mp4"}


def render(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    run, options = of_one_run("render", render_options(), words)
    check_key(options.key)
    out = Path(options.out)
    if out.suffix not in _PICTURES | {".html"}:
        raise UsageError(f"--out must end in .gif, .mp4 or .html; got {options.out}")
    if options.max_steps < 1 or options.fps < 1:
        raise UsageError(f"max-steps and fps must be at least 1; got {options.max_steps} and {options.fps}")
    if out.suffix == ".mp4":
        import_imageio()
    rewards = draw_episode(load_agent(run), options.seed, options.key, options.max_steps, out, options.fps)
    print(f"return {rewards.sum():.1f} over {len(rewards)} steps\n{out}")
    return 0


def render_options() -> type:
    """Makes the flags of `render`."""
    flags = [
        flag("out", str, "episode.gif", "Where to: a .gif, an .mp4 or, where the package draws pages, an .html file."),
        flag("seed", int, 0, "Which of the run's seeds plays."),
        flag("key", int, 0, "Number from which the episode's randomness comes."),
        flag("max_steps", int, 1000, "The episode is cut after so many steps."),
        flag("fps", int, 30, "Pictures a second."),
    ]
    description = "Plays one episode with a run's agent, taking the policy's mode, and draws it."
    return dataclasses.make_dataclass("RenderOptions", flags, namespace={"__doc__": description})
