"""A page that stands alone: no network, no script."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ._drawing import COLOURS

_STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c2024; --soft: #5d6670; --line: #dcdfe3; --ground: #ffffff; --raised: #f5f6f8;
  --mark: #fff3c9; --grid: #b0b0b0;
  LIGHT
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e7e9ec; --soft: #a0a8b1; --line: #3a4047; --ground: #16191c; --raised: #20252a;
    --mark: #4a3f16; --grid: #6b737b;
    DARK
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.2rem 1rem 4rem; max-width: 58rem; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: .4rem 0; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid var(--line); }
p { margin: .5rem 0; }
.soft, figcaption { color: var(--soft); font-size: .9rem; }
.state { display: inline-block; padding: .1rem .7rem; border-radius: 1rem; font-weight: 600; color: #fff; }
.finished { background: #14713f; } .interrupted { background: #8a5a00; }
.failed { background: #b3261e; } .running { background: #1c5fa8; }
.big { font-size: 2rem; font-weight: 650; line-height: 1.2; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
tr.changed td { background: var(--mark); font-weight: 600; }
pre { background: var(--raised); padding: .7rem .9rem; border-radius: .4rem; overflow-x: auto; overflow-wrap: normal; }
code, pre { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
figure { margin: .8rem 0; }
figure.main { max-width: 38rem; }
figure img { max-width: 100%; height: auto; border-radius: .4rem; background: #fff; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: currentColor; font-family: inherit !important; }
.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .4rem 1.2rem; }
.many figure { margin: .2rem 0; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; font-weight: 600; }
.beside { display: flex; flex-wrap: wrap; gap: .6rem 2.5rem; align-items: flex-start; }
@media print { body { max-width: none; } details { break-inside: avoid; } }
"""
_DARK = ("#56a8e0", "#ff8a4c", "#3ccb9d", "#e8a3ca", "#f0b840", "#8fd0f5", "currentColor")
"""What the colours of lines become on a dark page."""


def escaped(value: Any) -> str:
    """Writes any value so that it is text and nothing else."""
    return html.escape(str(value), quote=True)


def page(title: str, body: Iterable[str]) -> str:
    """Returns a whole page, which looks nothing up elsewhere.

    Args:
        title: As text.
        body: HTML.
    """
    light, dark = (
        " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours))
        for colours in ((*COLOURS[:-1], "currentColor"), _DARK)
    )
    style = _STYLE.replace("LIGHT", light).replace("DARK", dark)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{escaped(title)}</title>
<style>{style}</style>
</head>
<body>
{"".join(body)}
</body>
</html>
"""


def section(title: str, *body: str) -> str:
    """Returns a heading, as text, and what stands under it, as HTML; nothing if nothing does."""
    inside = "".join(body)
    return f"<section><h2>{escaped(title)}</h2>\n{inside}</section>\n" if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """Returns a paragraph of text."""
    return f"<p{_of(kind)}>{escaped(text)}</p>\n"


def code(text: str) -> str:
    """Returns lines of code."""
    return f"<pre><code>{escaped(text)}</code></pre>\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0, marked: Iterable[int] = ()) -> str:
    """Returns a table of texts.

    Args:
        head: Names of columns.
        rows: Of texts.
        numbers: How many of the last columns hold numbers, which stand at the right.
        marked: Places of rows that stand out.
    """
    first, marked = len(head) - numbers, set(marked)

    def cells(kind: str, row: Sequence[str]) -> str:
        return "".join(f"<{kind}{_of('number' * (i >= first))}>{escaped(each)}</{kind}>" for i, each in enumerate(row))

    lines = "".join(
        f"<tr{_of('changed' * (place in marked))}>{cells('td', row)}</tr>\n" for place, row in enumerate(rows)
    )
    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table>{top}\n<tbody>{lines}</tbody></table></div>\n'


def picture(content: str, caption: str = "", kind: str = "main") -> str:
    """Returns a figure: an SVG or an image as HTML, and a caption as text."""
    below = f"<figcaption>{escaped(caption)}</figcaption>" if caption else ""
    return f"<figure{_of(kind)}>{content}{below}</figure>\n"


def inline_svg(svg: str, description: str, number: int) -> str:
    """Returns an SVG of matplotlib for a page: it grows with the page and takes its colours in light and dark.

    Args:
        svg: With text as text.
        description: For those who cannot see it, as text.
        number: Another one for each SVG of the page, whose names must differ.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    size = re.search(r'viewBox="([^"]*)"', svg)
    opening = f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{size[1] if size else ""}" role="img" '
    svg = re.sub(r"<svg[^>]*>", f'{opening}aria-label="LABEL">', svg, count=1)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>s{number}-", svg)
    for place, colour in enumerate(COLOURS):
        svg = re.sub(rf"(?<=: ){colour}", f"var(--c{place})", svg, flags=re.IGNORECASE)
    svg = re.sub(r"\n+", "\n", svg.replace(": #b0b0b0", ": var(--grid)"))
    return svg.replace("LABEL", escaped(description), 1)


def _of(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
