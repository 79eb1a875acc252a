"""The command line."""

import signal
import sys
import traceback
from collections.abc import Callable, Sequence

import jax

from .. import __version__, envs
from ._command_check import check
from ._command_completion import completion
from ._command_evaluate import evaluate
from ._command_export import export
from ._command_plot import plot
from ._command_render import render
from ._command_report import report
from ._command_resume import resume
from ._command_sweep import sweep
from ._command_train import train
from ._compile import dispatch_inline
from ._configuration import ALGORITHMS, UsageError, choose, describe
from ._flags import asks_help
from ._hosts import explain, leave
from ._packages import table
from ._presets import PRESETS

_HELP = """Bellmax {version}: reinforcement learning as pure functions on JAX.

usage: bellmax COMMAND ...

commands:
  train ALGORITHM ENVIRONMENT   train an agent, evaluate it and leave a run folder
  resume RUN                    go on with a run that was killed or interrupted
  sweep ALGORITHM ENVIRONMENT   train many configurations, each with some seeds, and compare them
  evaluate RUN                  report the return of a run's agent, with an interval
  plot RUN...                   draw the learning curves of runs, or compare their final returns
  report RUN                    write one page about a run or a sweep
  render RUN                    draw one episode of a run's agent
  export RUN                    write a policy as a program of its own, for JAX or as StableHLO
  check-env NAME                check whether an environment, your own too, keeps what training relies on
  list                          name the algorithms, the environments and the presets
  completion SHELL              print what completes words in bash, zsh or tcsh

`bellmax COMMAND --help` explains a command, `bellmax train ppo CartPole-v1 --help` lists every flag with its value.

examples:
  bellmax train ppo CartPole-v1
  bellmax train ppo CartPole-v1 --seeds 5 --learning-rate linear:1e-3:0 --out runs/fast
  bellmax sweep ppo CartPole-v1 --learning-rate 1e-4,3e-4,1e-3 --seeds 10
  bellmax evaluate runs/fast --sampled --json
  bellmax plot runs/fast runs/ppo-CartPole-v1
  bellmax report runs/fast
  bellmax render runs/fast --out episode.gif
  bellmax check-env my_package.my_module:MyEnvironment

exit codes: 0 done, or stopped by SIGTERM and saved; 1 a run failed; 2 the command was wrong;
130 interrupted by Ctrl-C; 143 stopped by SIGTERM, but the checkpoint could not be saved.
"""


_LIST_HELP = """Names the algorithms, the environments and the presets.

usage: bellmax list [--packages]

--packages  Try every environment package instead: reset and step, truncation, training, rendering. Takes minutes.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Args:
        arguments: The words after `bellmax`; None for those of this process.

    Returns:
        The exit code: 0, or 1 where an environment outside JAX failed, 2 where the command was wrong, or
        128 plus the number of the signal that interrupted; 0 too where that was SIGTERM and all was saved.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    dispatch_inline()
    try:
        code = _answer(words)
    except Exception as error:
        if not jax.distributed.is_initialized():
            raise
        traceback.print_exc()
        print(f"bellmax: process {jax.process_index()} failed: {explain(error)}", file=sys.stderr)
        code = 1
    if code and jax.distributed.is_initialized():
        leave(code)
    return code


def _answer(words: list[str]) -> int:
    """Runs a command and says what was wrong with it; returns the exit code."""
    try:
        return _dispatch(words)
    except UsageError as error:
        print(f"bellmax: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except envs.HostEnvironmentError as error:
        print(getattr(error, "remote", ""), end="", file=sys.stderr)
        print(f"bellmax: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"bellmax: {error.name} is not installed: pip install 'bellmax[envs,train]'", file=sys.stderr)
        return 2
    except SystemExit as error:  # tyro's, after it printed help or an error
        return int(error.code or 0)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_HELP.format(version=__version__), end="")
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    return COMMANDS[choose("command", words[0], COMMANDS)](words[1:])


def _list(words: list[str]) -> int:
    if asks_help(words):
        print(_LIST_HELP, end="")
        return 0
    if words == ["--packages"]:
        for line in table():
            print(line, flush=True)
        return 0
    if words:
        raise UsageError(f"list takes nothing or --packages; got {' '.join(words)}")
    print("algorithms")
    for name, kind in ALGORITHMS.items():
        print(f"  {name:14}{describe(kind)}")
        if PRESETS[name]:
            print(f"{'':16}presets: {', '.join(PRESETS[name])}")
    print("environments")
    for name in envs.names():
        print(f"  {name}")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "resume": resume,
    "sweep": sweep,
    "evaluate": evaluate,
    "plot": plot,
    "report": report,
    "render": render,
    "export": export,
    "check-env": check,
    "list": _list,
    "completion": completion,
}
