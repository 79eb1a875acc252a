"""`bellmax completion`."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from .. import envs
from ._command_check import check_options
from ._command_evaluate import evaluate_options
from ._command_export import export_options
from ._command_plot import plot_options
from ._command_render import render_options
from ._command_report import report_options
from ._command_resume import resume_options
from ._command_sweep import sweep_options
from ._command_train import train_options
from ._configuration import ALGORITHMS, UsageError, choose, preset_of
from ._flags import asks_help
from ._settings import Settings

SHELLS = ("bash", "zsh", "tcsh")
_HELP = """Prints a script that completes commands, algorithms, environments and flags.

usage: bellmax completion SHELL

SHELL is {shells}. For example:
  bellmax completion bash > ~/.local/share/bash-completion/completions/bellmax
"""


def completion(words: list[str]) -> int:
    """Runs the command; returns the exit code."""
    if asks_help(words):
        print(_HELP.format(shells=", ".join(SHELLS)), end="")
        return 0
    if len(words) != 1:
        raise UsageError(f"completion needs the name of a shell: {', '.join(SHELLS)}; got {' '.join(words) or 'none'}")
    import shtab

    print(shtab.complete(command_tree(), shell=choose("shell", words[0], SHELLS)))
    return 0


def command_tree() -> argparse.ArgumentParser:
    """Returns every command with its words and flags, as far as completing them goes; it parses nothing."""
    root = argparse.ArgumentParser(prog="bellmax", add_help=False)
    root.add_argument("--help", action="help")
    root.add_argument("--version", action="version")
    commands = root.add_subparsers(dest="command")
    for command, options_of in (("train", train_options), ("sweep", sweep_options)):
        kinds = _command(commands, command).add_subparsers(dest="algorithm")
        for algorithm in ALGORITHMS:
            parser = _command(kinds, algorithm)
            parser.add_argument("environment", choices=envs.names())
            _add_flags(parser, options_of(algorithm, preset_of(algorithm, "", "none"), Path()))
    of_a_run = {
        "resume": resume_options(Settings()),
        "evaluate": evaluate_options(),
        "plot": plot_options(),
        "report": report_options(),
        "render": render_options(),
        "export": export_options(),
    }
    for command, options in of_a_run.items():
        parser = _command(commands, command)
        _complete_paths(parser.add_argument("run"))
        _add_flags(parser, options)
    check = _command(commands, "check-env")
    check.add_argument("name", choices=envs.names())
    _add_flags(check, check_options())
    _command(commands, "list").add_argument("--packages", action="store_true")
    _command(commands, "completion").add_argument("shell", choices=SHELLS)
    return root


def _command(commands: Any, name: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, add_help=False, help=name)  # one without help is left out by shtab
    parser.add_argument("--help", action="help")
    return parser


def _add_flags(parser: argparse.ArgumentParser, options: type) -> None:
    """Adds a flag for each field; a switch has no value, a choice has its options."""
    for field in dataclasses.fields(options):
        kind, name = get_args(field.type)[0], field.name.replace("_", "-")
        kinds = {kind, *get_args(kind)}
        if bool in kinds:
            names = [f"--{name}"] if field.default is False else [f"--{name}", f"--no-{name}"]
            parser.add_argument(*names, dest=field.name, action="store_true")
            continue
        choices = next((get_args(each) for each in kinds if get_origin(each) is Literal), None)
        argument = parser.add_argument(f"--{name}", dest=field.name, choices=choices)
        if Path in kinds:
            _complete_paths(argument)


def _complete_paths(argument: argparse.Action) -> None:
    import shtab

    argument.complete = shtab.FILE  # pyright: ignore[reportAttributeAccessIssue]
