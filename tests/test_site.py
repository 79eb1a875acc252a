"""The site has a place for every page and an entry for every public name, and is built strictly."""

import base64
import html
import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"

_spec = importlib.util.spec_from_file_location("bellmax_site", ROOT / "docs" / "_build" / "__init__.py")
site = importlib.util.module_from_spec(_spec)
sys.modules["bellmax_site"] = site
_spec.loader.exec_module(site)


def public_names(module: str) -> set[str]:
    """Returns what a folder makes public, as Python sees it."""
    return {
        f"{module}.{name}"
        for name, value in vars(importlib.import_module(module)).items()
        if not name.startswith("_") and getattr(value, "__spec__", None) is None
    }


FOLDERS = [f"bellmax.{name}" for name in importlib.import_module("bellmax")._FOLDERS] + ["bellmax.envs.wrappers"]


def test_names_that_are_read_are_those_that_python_sees():
    assert set(site.public_names(ROOT / "src")) == set().union(*map(public_names, FOLDERS))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_public_name_has_its_entry_and_no_other_has(folder):
    documented = [name for name in site.documented_names(API) if name.rpartition(".")[0] == folder]
    wanted = public_names(folder)
    missing, gone = wanted - set(documented), set(documented) - wanted - set(FOLDERS)
    page = API / f"{folder.split('.')[-1]}.md"
    assert not missing, f"write a line `::: NAME` in {page} for each of {sorted(missing)}"
    assert not gone, f"{page} has entries for what is not public: {sorted(gone)}"
    assert len(documented) == len(set(documented))


def test_every_page_stands_in_the_navigation(tmp_path):
    site.stage(ROOT, tmp_path)
    pages = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    navigation = re.findall(r"^ +- (?:.+: )?(\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert pages - set(navigation) == set(), "give each a line under `nav` in mkdocs.yml"
    assert set(navigation) - pages == set(), "the navigation names pages that are not there"


@pytest.fixture(scope="module")
def linked():
    names = set(site.public_names(ROOT / "src"))

    def linked(text, page="docs/algorithms/ppo.md"):
        return site.linked(text, PurePosixPath(page), ROOT, names)

    return linked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see [runs](../runs.md#checkpoints)", "see [runs](../runs.md#checkpoints)"),
        ("[front](../../README.md)", "[front](../index.md)"),
        ("[all](README.md)", "[all](index.md)"),
        ("[05](../../notebooks/05_algorithm.ipynb)", "[05](../notebooks/05_algorithm.md)"),
        ("[cost](../../benchmarks/README.md#devices)", "[cost](../benchmarks.md#devices)"),
        ("[`returns.gae`](../../src/bellmax/returns/_gae.py)", "[`returns.gae`][bellmax.returns.gae]"),
        ("[file](../../src/bellmax/returns/_gae.py)", "[file](../api/returns.md)"),
        ("[there](https://example.org) and [here](#metrics)", "[there](https://example.org) and [here](#metrics)"),
        ("`losses.td_error`", "[`losses.td_error`][bellmax.losses.td_error]"),
        ("`envs.make(name)`", "[`envs.make(name)`][bellmax.envs.make]"),
        ("`losses.nothing` and `x.y`", "`losses.nothing` and `x.y`"),
        ("$[a](b)$ and $$[a](b)$$", "$[a](b)$ and $$[a](b)$$"),
        ("```python\nlosses.td_error  # `losses.td_error` [a](b.md)\n```", None),
    ],
)
def test_links_follow_to_the_site(linked, text, expected):
    assert linked(text) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[a](../nothing.md)", "there is no docs/nothing.md"), ("[a](../../pyproject.toml)", "has no place in the site")],
)
def test_a_link_that_leads_nowhere_is_refused(linked, text, message):
    with pytest.raises(ValueError, match=message):
        linked(text)


def notebook(path: Path, *outputs: dict) -> Path:
    cells = [{"cell_type": "code", "source": ["print(1)"], "outputs": list(outputs)}]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_outputs_of_a_notebook_are_shown(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": base64.b64encode(b"dots").decode()}}
    printed = {"output_type": "stream", "name": "stdout", "text": ["1\n", "```\n"]}
    text, pictures = site.notebook_page(notebook(tmp_path / "one.ipynb", printed, picture))
    assert "``` python\nprint(1)\n```" in text
    assert '```` text title="Output"\n1\n```\n````' in text
    assert list(pictures.values()) == [b"dots"]
    assert f"({next(iter(pictures))})" in text


def test_an_output_that_cannot_be_shown_is_refused(tmp_path):
    path = notebook(tmp_path / "one.ipynb", {"output_type": "display_data", "data": {"text/html": "<p>"}})
    with pytest.raises(ValueError, match="text/html"):
        site.notebook_page(path)


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "docs" / "build.py")]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


@pytest.fixture
def copy(tmp_path):
    """The part of the repository that the site is made of."""
    pytest.importorskip("mkdocstrings_handlers.python", reason="the site is built with the extra `docs`")
    for name in ("src", "docs", "notebooks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "benchmarks").mkdir()
    for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "mkdocs.yml", "benchmarks/README.md"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.slow
def test_site_is_built_strictly_and_needs_no_network(copy):
    made = build(copy)
    assert made.returncode == 0, made.stdout + made.stderr
    pages = sorted((copy / "build" / "site").rglob("*.html"))
    assert len(pages) > 60
    fetched = re.compile(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=[\"']?(?:https?:)?//[^>]*")
    assert {str(page): found for page in pages if (found := fetched.findall(page.read_text()))} == {}
    page = (copy / "build" / "site" / "api" / "returns.html").read_text()
    assert 'id="bellmax.returns.gae"' in page
    assert 'Float[Array, "time *batch"]' in html.unescape(re.sub(r"<[^>]*>", "", page))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("docs/runs.md", "# Runs", "[there](nothing.md)\n\n# Runs", "there is no docs/nothing.md"),
        ("docs/runs.md", "# Runs", "[there](replay.md#nothing)\n\n# Runs", "#nothing"),
        ("docs/more.md", "", "# More", "more.md"),
        ("docs/api/replay.md", "::: bellmax.replay.Finals\n", "", "bellmax.replay.Finals has no entry"),
        ("docs/api/returns.md", "::: bellmax.returns.gae\n", "::: bellmax.returns.gea\n", "bellmax.returns.gea"),
        ("src/bellmax/training/_parallel.py", '"""Which transformation of JAX', '_ = """Which', "How has no docstring"),
        ("docs/replay.md", "$$(C + 1", "$$a$$\n$$(C + 1", "an equation that runs into the next"),
    ],
    ids=["link", "anchor", "page outside the navigation", "missing name", "unknown name", "no docstring", "equation"],
)
def test_a_planted_fault_fails_the_build(copy, file, old, new, message):
    path = copy / file
    text = path.read_text() if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new, 1) if old else new)
    made = build(copy)
    assert made.returncode != 0
    assert message in made.stdout + made.stderr
