"""What a person sees while training runs."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from ._hosts import is_first

Report = Callable[[int, float | None], None]
"""Takes the environment steps so far, and the mean return of the episodes that just finished or None."""


@contextlib.contextmanager
def show_progress(total_steps: int, seeds: int) -> Iterator[Report]:
    """Shows steps, steps per second, episode return and time left; on a terminal live, elsewhere ten lines a run.

    Args:
        total_steps: Environment steps of each seed.
        seeds: Number of seeds; steps per second count all of them.

    Yields:
        A function to call whenever something is known.
    """
    from rich.console import Console

    console = Console(stderr=True, quiet=not is_first())  # of several processes one speaks
    start, before = None, 0

    def speed(steps: int) -> str:
        nonlocal start, before
        if start is None:  # the first report comes when compilation is over
            start, before = time.perf_counter(), steps
        return f"{(steps - before) * seeds / max(time.perf_counter() - start, 1e-9):,.0f} steps/s"

    if not console.is_terminal:
        shown, result = 0, "no episode yet"

        def report_line(steps: int, episode_return: float | None) -> None:
            nonlocal shown, result
            rate = speed(steps)
            if episode_return is not None:
                result = f"return {episode_return:.1f}"
            if steps * 10 // total_steps > shown and start is not None and steps > before:
                shown = steps * 10 // total_steps
                left = (time.perf_counter() - start) * (total_steps - steps) / (steps - before)
                if not console.quiet:  # plainly: a console looks for markup first, which takes it milliseconds
                    line = f"{steps:,} of {total_steps:,} steps, {rate}, {result}, {left:.0f} s left"
                    print(line, file=sys.stderr, flush=True)

        yield report_line
        return

    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} steps"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("return {task.fields[result]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=total_steps, speed="compiling", result="–")

        def report_bar(steps: int, episode_return: float | None) -> None:
            progress.update(task, completed=steps, speed=speed(steps))
            if episode_return is not None:
                progress.update(task, result=f"{episode_return:.1f}")

        yield report_bar
