"""`bellmax render`."""

import importlib.util

import equinox as eqx
import gymnasium
import jax
import numpy as np
import pytest
from PIL import Image

from bellmax import algorithms, envs, training
from bellmax.experiment import Agent, Configuration, main
from bellmax.experiment import _command_render as command
from bellmax.experiment._episode import _spaced, write_frames
from bellmax.experiment._folder import seed_keys
from bellmax.experiment._host_trainer import HostTrainer
from training import laws

LENGTH = 9


class Drawn(envs.Chain):
    """Draws each position as a grey, in pages too."""

    def reset(self, *, key):
        state, _ = super().reset(key=key)
        state = state._replace(position=0 * state.position)
        return state, self._observe(state)

    def frames(self, states):
        assert all(state.position.shape == () for state in states)
        return [np.full((8, 8, 3), 20 * int(state.position), np.uint8) for state in states]

    def html(self, states):
        return f"<p>{len(states)} states</p>"


class Pages(Drawn):
    frames = envs.AbstractEnvironment.frames


def agent_of(trainer, environment, seeds=2):
    """An agent of two seeds: the first steps forward, the second stays."""
    configuration = Configuration("ppo", environment, 1, 4, seeds, 0, {})
    keys = seed_keys(configuration)
    state = laws.fast_jit(lambda keys: jax.vmap(trainer.learner.init)(keys, keys).algorithm)(keys)
    forced = np.array([[-50.0, 50.0], [50.0, -50.0]], np.float32)
    state = eqx.tree_at(lambda state: state.model.actor.network.layers[-1].bias, state, jax.numpy.asarray(forced))
    return Agent(configuration, trainer, state, 1)


@pytest.fixture
def rendered(monkeypatch, capsys, tmp_path):
    """Renders what is given as an agent; returns the exit code and what was said."""

    def run(agent, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(command, "load_agent", lambda run: agent)
        capsys.readouterr()
        code = main(["render", "a-run", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


SMALL = algorithms.PPO(hidden_sizes=(4,), rollout_length=4)


def greys(path):
    with Image.open(path) as image:
        return [int(np.asarray(frame_at(image, i).convert("L")).mean()) for i in range(image.n_frames)]


def frame_at(image, i):
    image.seek(i)
    return image


def test_gif_shows_the_first_state_and_every_later_one(rendered, tmp_path):
    chain = Drawn(length=LENGTH, time_limit=LENGTH, stay_reward=0.5)
    agent = agent_of(training.Trainer(SMALL, chain, 4), "toy/chain")
    code, out, err = rendered(agent)
    assert (code, err) == (0, "")
    assert out == f"return 1.0 over {LENGTH} steps\nepisode.gif\n"
    # The last step stays where it is, and a GIF joins equal pictures.
    assert greys(tmp_path / "episode.gif") == pytest.approx([20 * i for i in range(LENGTH)], abs=2)
    code, out, _ = rendered(agent, "--seed", "1", "--out", "more/stay.gif", "--max-steps", "5")
    assert (code, out) == (0, "return 2.5 over 5 steps\nmore/stay.gif\n")
    assert greys(tmp_path / "more" / "stay.gif") == [0]


def test_page_is_written_and_the_other_kind_of_file_is_named(rendered, tmp_path):
    agent = agent_of(training.Trainer(SMALL, Pages(length=3), 4), "toy/chain")
    assert rendered(agent, "--out", "episode.html")[0] == 0
    assert (tmp_path / "episode.html").read_text() == "<p>4 states</p>"
    code, out, err = rendered(agent)
    assert (code, out) == (2, "")
    assert (
        err == "bellmax: toy/chain was not drawn: Pages cannot be drawn as pictures; --out episode.html draws a page\n"
    )
    agent = agent_of(training.Trainer(SMALL, envs.Chain(length=3), 4), "toy/chain")
    assert rendered(agent)[2] == "bellmax: toy/chain was not drawn: Chain cannot be drawn as pictures\n"


DRAWN = """
import numpy as np
from envs.chains import GymnasiumChain

class Drawn(GymnasiumChain):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode=None):
        super().__init__(time_limit=6, stay_reward=0.5)
        self.render_mode = render_mode

    def render(self):
        return np.full((8, 8, 3), 30 * self.position + 2 * self.time, np.uint8)
"""


def test_gymnasium_draws_its_own_end_and_not_the_next_start(rendered, tmp_path, monkeypatch):
    (tmp_path / "drawn_chain.py").write_text(DRAWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    gymnasium.register("DrawnChain-v0", "drawn_chain:Drawn")
    environment = envs.make("gymnasium/DrawnChain-v0")
    agent = agent_of(HostTrainer(SMALL, environment, 4), "gymnasium/DrawnChain-v0")
    code, out, err = rendered(agent, "--seed", "1")
    assert (code, err, out) == (0, "", "return 3.0 over 6 steps\nepisode.gif\n")
    start, *_ = shown = greys(tmp_path / "episode.gif")
    assert shown == pytest.approx([start + 2 * i for i in range(7)], abs=1)
    assert rendered(agent, "--out", "episode.html")[2].endswith("--out episode.gif draws pictures\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "episode.png"], "--out must end in .gif, .mp4 or .html; got episode.png"),
        (["--seed", "2"], "the run has seeds 0 to 1; got 2"),
        (["--max-steps", "0"], "max-steps and fps must be at least 1; got 0 and 30"),
        (["--key", "-1"], "key must be in [0, 2^32); got -1"),
        (["another"], "render needs one run folder; got 2"),
    ],
)
def test_wrong_commands_get_one_line_and_exit_code_2(words, expected, rendered):
    agent = Agent(Configuration("ppo", "toy/chain", 1, 4, 3, 0, {}), None, np.zeros(2), 1)  # the third seed never began
    code, out, err = rendered(agent, *words)
    assert (code, out, err) == (2, "", f"bellmax: {expected}\n")


@pytest.mark.skipif(importlib.util.find_spec("imageio_ffmpeg") is not None, reason="imageio is here")
def test_film_without_its_package_says_what_to_install(rendered):
    assert 'pip install "bellmax[viz]"' in rendered(None, "--out", "episode.mp4")[2]


def test_film(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    frames = [np.full((16, 16, 3), 25 * i, np.uint8) for i in range(8)]
    write_frames(frames, tmp_path / "film.mp4", 10)
    assert (tmp_path / "film.mp4").read_bytes()[4:8] == b"ftyp"


def test_run_folder_is_needed(capsys):
    assert main(["render", "/nowhere"]) == 2
    assert "/nowhere is not a run folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("most", "expected"), [(None, [*range(10)]), (10, [*range(10)]), (9, [1, 3, 5, 7, 9]), (4, [0, 3, 6, 9]), (1, [9])]
)
def test_film_of_few_pictures_ends_with_the_last(most, expected):
    assert _spaced(list(range(10)), most) == expected
