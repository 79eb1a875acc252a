"""`bellmax report`."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from bellmax.experiment import UsageError, main, write_report
from bellmax.experiment import _report_figures as report_figures
from bellmax.experiment._html import inline_svg, page
from bellmax.experiment._report_configuration import command_of
from bellmax.experiment._report_texts import clock, duration, number
from experiment.run_folders import configuration, rows, write, write_run, write_sweep


class Page(HTMLParser):
    """Reads a page as a browser would: what is open, what it would fetch, which text a reader sees."""

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.ids, self.asked, self.words = [], [], [], [], []
        self.feed(path.read_text())
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open.append(tag)
        self.handle_attributes(dict(attributes))
        if tag in {"meta", "img"}:
            self.open.pop()

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.handle_attributes(dict(attributes))

    def handle_attributes(self, attributes):
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.asked += [attributes[name] for name in ("src", "href", "xlink:href") if name in attributes]
        assert not [name for name in attributes if name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def report(run, **settings):
    return Page(write_report(run, **{"film": False} | settings))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run = write_run(tmp_path_factory.mktemp("report") / "run", learning_rate="3e-3")
    return run, report(run)


def test_page_asks_for_nothing_and_runs_nothing(finished):
    run, found = finished
    assert not {"script", "link", "iframe", "object", "embed", "form"} & set(found.tags)
    assert all(where.startswith(("#", "data:")) for where in found.asked)
    text = (run / "report.html").read_text()
    assert not re.search(r"@import|url\((?!#)", text)
    assert "default-src 'none'" in text
    assert len(text) < 3_000_000


def test_names_inside_pictures_are_each_given_once(finished):
    _, found = finished
    assert found.tags.count("svg") == 2  # the curve, and the loss
    assert len(set(found.ids)) == len(found.ids)
    assert {where[1:] for where in found.asked if where.startswith("#")} <= set(found.ids)


def test_page_says_what_a_reader_looks_for(finished):
    _, found = finished
    for words in (
        "ppo on CartPole-v1",
        "finished 300 of 300 environment steps of each seed",
        "mean 5.00 4.00 to 6.00 interquartile mean 5.00 4.00 to 6.00",
        "seed mean return 0 4.00 1 6.00",
        "IQM over seeds; band: 95 % bootstrap interval",
        "bellmax train ppo CartPole-v1 --seeds 2 --learning-rate 3e-3",
        "training took 1.5 s",
        "device abacus jax 0.0",
    ):
        assert words in found.text
    assert "There are none." in found.text  # checkpoints
    assert "bellmax resume" not in found.text


def test_values_of_this_run_are_marked_beside_the_default(finished):
    text = (finished[0] / "report.html").read_text()
    marked = re.findall(r'<tr class="changed"><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)', text)
    assert marked == [("seeds", "2", "1"), ("learning-rate", "3e-3", "0.00025")]


def test_colours_follow_the_scheme_of_the_reader(finished):
    text = (finished[0] / "report.html").read_text()
    assert "prefers-color-scheme: dark" in text
    picture = text[text.index("<svg") :]
    assert "var(--c0)" in picture
    assert "#0072b2" not in picture.lower()


EVIL = '<script>alert("1")</script>'


def test_text_of_a_run_is_never_markup(tmp_path):
    run = write_run(tmp_path / "<i>run", environment=f"my/{EVIL}", state="failed", final=None)
    content = json.loads((run / "config.json").read_text())
    content["hyperparameters"] |= {"activation": EVIL, EVIL: EVIL}
    write(run / "config.json", content | {"device": EVIL, "versions": {EVIL: EVIL}})
    write(run / "status.json", {"state": "failed", "steps": 1, "of": 3, "error": EVIL})
    made = [row | {EVIL: 1.0} for row in rows([[1.0, 2.0], [3.0, 4.0]])]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    found = report(run)
    assert "script" not in found.tags
    assert "i" not in found.tags
    assert found.text.count(EVIL) >= 7
    sweep = write_sweep(tmp_path / "sweep")
    for each in (sweep / "runs").iterdir():
        content = json.loads((each / "config.json").read_text())
        write(each / "config.json", content | {"environment": EVIL})
        each.rename(each.with_name(each.name + "<b>=<b>"))
    found = report(sweep)
    assert not {"script", "b"} & set(found.tags)
    assert "<b>" in found.text


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "running 300 of 300 environment steps of each seed; last written to"),
        ("interrupted", "interrupted stopped at 300 of 300"),
        ("failed", "failed 300 of 300 environment steps of each seed; OSError('<b>')"),
    ],
)
def test_run_that_did_not_end_has_a_page(state, words, tmp_path):
    found = report(write_run(tmp_path / "run", state=state, final=None))
    assert words in found.text
    assert "agents are evaluated when training has ended" in found.text
    assert "can only be trained anew" in found.text
    assert "there is no agent yet" in found.text


@pytest.mark.parametrize("lost", ["metrics.jsonl", "status.json", "evaluation.json"])
@pytest.mark.parametrize("content", [None, "", "[", "7\n7\n", '{"a": 1}\n{"a": 1}\n', "\xff"])
def test_files_that_are_lost_or_damaged_leave_a_page(lost, content, tmp_path):
    run = write_run(tmp_path / "run")
    (run / lost).unlink() if content is None else (run / lost).write_bytes(content.encode("latin1"))
    assert "ppo on CartPole-v1" in report(run).text


def test_one_seed_has_no_interval_over_seeds(tmp_path):
    found = report(write_run(tmp_path / "run", ((1.0, 2.0, 3.0),), (3.0,)))
    assert "One seed, so there is no interval over seeds." in found.text
    assert "1 seed, no interval" in found.text
    assert "interquartile" not in found.text


def test_return_that_is_no_number_is_said_to_be_none(tmp_path):
    found = report(write_run(tmp_path / "run", final=(1.0, None)))
    assert "mean not a number not a number to not a number" in found.text
    assert "0 1.00 1 not a number" in found.text


def test_film_is_in_the_page_and_small(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (12, 60, 90, 3), np.uint8)
    monkeypatch.setattr(report_figures, "_MOST_BYTES", 12_000)
    monkeypatch.setattr(report_figures, "load_agent", lambda path: path)
    monkeypatch.setattr(report_figures, "film_episode", lambda *_, **__: (list(noise), np.array([1.0, 2.5])))
    found = report(write_run(tmp_path / "run"), film=True, seed=1)
    (film,) = [where for where in found.asked if where.startswith("data:image/gif;base64,")]
    data = base64.b64decode(film.split(",")[1])
    assert len(data) < 12_000
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames > 1
        assert image.width < 90
    assert "Seed 1, the policy's mode: return 3.5 over 2 steps." in found.text


@pytest.mark.parametrize("error", [UsageError("toy/chain was not drawn: it cannot"), ZeroDivisionError("in a package")])
def test_page_without_a_film_says_why(error, tmp_path, monkeypatch):
    def fail(_):
        raise error

    monkeypatch.setattr(report_figures, "load_agent", fail)
    assert (
        f"There is no film: {'it failed with ' * (not isinstance(error, UsageError))}"
        in report(write_run(tmp_path / "run"), film=True).text
    )


def test_sweep_has_a_table_the_best_first_and_its_runs(tmp_path):
    sweep = write_sweep(tmp_path / "sweep", unfinished=(1,))
    found = report(sweep)
    assert "Sweep of ppo on CartPole-v1 interrupted 2 of 3 configurations have come to their end" in found.text
    assert "1e-1 2 7.00 7.00 to 7.00 7.00 1e-3 2 5.00 5.00 to 5.00 5.00 1e-2 running" in found.text
    assert "The best of 2 is chosen by its luck too" in found.text
    assert found.tags.count("details") == 3
    assert found.tags.count("svg") == 2
    assert len(set(found.ids)) == len(found.ids)
    assert str(sweep / "runs" / "002_learning-rate=1e-1") in found.text


def test_command_says_where_the_page_is_and_writes_elsewhere(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    assert main(["report", str(run), "--no-film", "--out", str(tmp_path / "new" / "page.html")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'page.html'}\n"
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "report needs one run folder; got 0"),
        (["a", "b"], "report needs one run folder; got 2"),
        (["a", "--out", "page.pdf"], "--out must end in .html; got page.pdf"),
        (["a", "--seed", "-1"], "seed must be at least 0; got -1"),
        (["/nowhere"], "/nowhere is not a run folder: it has no config.json"),
    ],
)
def test_wrong_commands_get_one_line_and_exit_code_2(words, expected, capsys):
    assert main(["report", *words]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"bellmax: {expected}\n")


def test_command_of_a_run_names_what_the_preset_does_not_give():
    made = configuration("dqn", steps=1000, hidden_sizes=(8, 16), double_q=False)
    words = command_of(made, {"episodes": 4, "keep": 2, "devices": None}).split()
    assert words[:4] == ["bellmax", "train", "dqn", "CartPole-v1"]
    assert words[4:10] == ["--steps", "1000", "--seeds", "2", "--hidden-sizes", "8"]
    assert "--no-double-q" in words
    assert words[-2:] == ["--episodes", "4"]


def test_small_things():
    assert [number(value) for value in (1234.56, -3.14159, 0.0123, 0.0, None, float("inf"))] == [
        "1,234.6", "-3.14", "0.0123", "0", "not a number", "not a number",
    ]  # fmt: skip
    assert [clock(seconds) for seconds in (3.24, 75, 3600 * 2 + 61)] == ["3.2 s", "1 min 15 s", "2 h 1 min"]
    together = [{"seconds": seconds} for seconds in (1.0, 1.0, 2.0, 2.0)]
    one_after_another = [{"seconds": seconds} for seconds in (1.0, 2.0, 0.5, 3.0)]
    assert (duration(together), duration(one_after_another), duration([])) == (2.0, 5.0, 0.0)
    assert 'aria-label="&lt;b&gt;"' in inline_svg('<svg viewBox="0 0 1 1"></svg>', "<b>", 0)
    assert "<title>&lt;b&gt;</title>" in page("<b>", [])
