"""What a shell completes."""

import shutil
import subprocess

import pytest

from bellmax.experiment import main
from bellmax.experiment._cli import COMMANDS
from bellmax.experiment._command_completion import SHELLS, command_tree


@pytest.fixture(scope="module")
def bash(tmp_path_factory):
    """The script for bash, in a file."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["completion", "bash"]) == 0
    path = tmp_path_factory.mktemp("completion") / "bellmax"
    path.write_text(said.getvalue())
    return path


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bellmax tr", "train"),
        ("bellmax train recur", "recurrent-ppo"),
        ("bellmax train ppo CartP", "CartPole-v1"),
        ("bellmax train ppo CartPole-v1 --normalise-r", "--normalise-rewards"),
        ("bellmax train dqn CartPole-v1 --spread la", "lanes"),
        ("bellmax sweep td CartPole-v1 --at-o", "--at-once"),
        ("bellmax evaluate runs --samp", "--sampled"),
        ("bellmax export runs --see", "--seed"),
        ("bellmax completion z", "zsh"),
    ],
)
def test_bash_completes(bash, line, expected):
    """As bash does it: the words typed so far, and the function that the script registers."""
    shell = shutil.which("bash")
    if shell is None:
        pytest.skip("there is no bash here")
    words = " ".join(f"'{word}'" for word in line.split())
    script = (
        f"source {bash}; COMP_WORDS=({words}); COMP_CWORD={len(line.split()) - 1}; "
        '_shtab_bellmax "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"; '
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    run = subprocess.run([shell, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert expected in run.stdout.split(), run.stderr


def test_every_command_is_there():
    commands = next(action for action in command_tree()._actions if action.dest == "command").choices
    assert set(commands) == set(COMMANDS)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "bellmax" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "completion needs the name of a shell: bash, zsh, tcsh; got none"),
        (["fish"], "no shell is named 'fish'"),
        (["bash", "zsh"], "completion needs the name of a shell: bash, zsh, tcsh; got bash zsh"),
    ],
)
def test_wrong_shells_are_refused(words, expected, capsys):
    assert main(["completion", *words]) == 2
    assert expected in capsys.readouterr().err
