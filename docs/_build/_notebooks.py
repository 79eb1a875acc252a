"""Notebooks as pages, with the outputs that are saved in them."""

import base64
import json
from pathlib import Path


def notebook_page(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Writes a notebook as Markdown.

    Args:
        notebook: An `.ipynb` file whose outputs are saved.

    Returns:
        The page, and its pictures by their file names.

    Raises:
        ValueError: If an output is neither text nor a PNG.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts, pictures = [], {}
    for index, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        if source.strip():
            parts.append(_fenced(source, "python"))
        for output in cell["outputs"]:
            name = f"{notebook.stem}_{index}_{len(pictures)}.png"
            parts.append(_shown(output, name, pictures))
    return "\n\n".join(parts) + "\n", pictures


def _shown(output: dict, name: str, pictures: dict[str, bytes]) -> str:
    """Writes an output; a picture is put beside the page under a name."""
    if output["output_type"] == "stream":
        return _fenced("".join(output["text"]), 'text title="Output"')
    data = output.get("data", {})
    if "image/png" in data:
        pictures[name] = base64.b64decode(data["image/png"])
        return f"![What the cell above draws]({name})"
    if "text/plain" in data:
        return _fenced("".join(data["text/plain"]), 'text title="Output"')
    raise ValueError(f"{name}: an output of the notebook is neither text nor a PNG; its kinds are {sorted(data)}")


def _fenced(text: str, language: str) -> str:
    """Puts text between fences that it does not hold itself."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence} {language}\n{text.rstrip()}\n{fence}"
