"""The pictures of a report."""

import base64
import io
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._agent import load_agent
from ._configuration import UsageError
from ._curves import curve_of, metrics_in
from ._drawing import draw_curve, new_figure, tidy
from ._episode import film_episode
from ._folder import RunFolder
from ._html import inline_svg, paragraph, picture
from ._plot import metric_text

_NOT_LEARNING = ("seconds", "episodes", "episode_return")
_MOST_METRICS = 30
_MOST_FRAMES = 120
_MOST_BYTES = 1_500_000
_WIDEST = 360
"""Pixels of an episode's pictures."""


class Figures:
    """Makes SVGs for one page, each with names of its own."""

    def __init__(self):
        self._numbers = itertools.count()

    def __call__(self, figure: Any, description: str, width: float | None = None, height: float | None = None) -> str:
        """Returns a figure as SVG; inches, where it should have another size than it has."""
        import matplotlib

        figure.set_size_inches(width or figure.get_figwidth(), height or figure.get_figheight())
        file = io.StringIO()
        with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bellmax"}):
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
        return inline_svg(file.getvalue(), description, next(self._numbers))


def small_multiples(rows: Sequence[dict[str, Any]], figures: Figures) -> str:
    """Draws every other metric of a run, small; the IQM over seeds with its band."""
    names = [name for name in metrics_in(rows) if name not in _NOT_LEARNING]
    drawn = []
    for name in names[:_MOST_METRICS]:
        try:
            curve = curve_of(rows, name)
        except UsageError:  # no step that all seeds have come to
            continue
        figure = new_figure(3.2, 2.1)
        axes = figure.add_subplot()
        draw_curve(axes, curve)
        tidy(axes, metric_text(name))
        axes.title.set_fontsize(11)
        axes.locator_params(nbins=4)
        drawn.append(picture(figures(figure, f"{metric_text(name)} against environment steps"), kind=""))
    more = names[_MOST_METRICS:]
    left_out = paragraph(f"Not drawn: {', '.join(more)}.", "soft") if more else ""
    return f'<div class="many">{"".join(drawn)}</div>\n{left_out}' if drawn else ""


def episode(folder: RunFolder, seed: int, max_steps: int = 1000) -> str:
    """Plays an episode and returns it as a film, or says why there is none."""
    try:
        agent = load_agent(folder.path)
        frames, rewards = film_episode(agent, seed, 0, max_steps, most=_MOST_FRAMES)
        film = _film(frames)
    except Exception as error:  # of any package of environments: the page is worth having without its film
        reason = str(error) if isinstance(error, UsageError) else f"it failed with {error!r}"
        return paragraph(f"There is no film: {' '.join(reason.split())}")
    cut = ", cut there" * (len(rewards) == max_steps)
    caption = f"Seed {seed}, the policy's mode: return {rewards.sum():.1f} over {len(rewards):,} steps{cut}."
    data = base64.b64encode(film).decode()
    return picture(f'<img alt="An episode of the agent" src="data:image/gif;base64,{data}">', caption)


def _film(frames: Sequence[np.ndarray]) -> bytes:
    """Makes a GIF of pictures, smaller ones and fewer until it fits the page."""
    width = min(_WIDEST, frames[0].shape[1])
    film = _gif(frames, width)
    while len(film) > _MOST_BYTES:
        width, frames = max(1, width * 3 // 4), frames[::-1][::2][::-1]  # the last picture stays
        film = _gif(frames, width)
    return film


def _gif(frames: Sequence[np.ndarray], width: int) -> bytes:
    from PIL import Image

    images = [Image.fromarray(np.asarray(frame, np.uint8)) for frame in frames]
    height, widest = images[0].height, images[0].width
    if widest > width:
        images = [image.resize((width, max(1, height * width // widest))) for image in images]
    first, *others = [image.quantize(64) for image in images]
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=others, duration=50, loop=0, optimize=True)
    return file.getvalue()
