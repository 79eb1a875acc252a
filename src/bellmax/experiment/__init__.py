"""Runs: the one folder that touches disks, screens and processes."""

from ._agent import Agent as Agent
from ._agent import load_agent as load_agent
from ._cli import main as main
from ._configuration import Configuration as Configuration
from ._configuration import UsageError as UsageError
from ._evaluation import Evaluation as Evaluation
from ._evaluation import evaluate_agent as evaluate_agent
from ._export import export_policy as export_policy
from ._host_evaluate import evaluate_on_host as evaluate_on_host
from ._host_loop import HostLoop as HostLoop
from ._host_trainer import HostTrainer as HostTrainer
from ._log import LoggedRun as LoggedRun
from ._log import Logger as Logger
from ._outcome import Outcome as Outcome
from ._policy import Policy as Policy
from ._resume import resume_run as resume_run
from ._settings import Settings as Settings
from ._statistics import bootstrap_interval as bootstrap_interval
from ._statistics import interquartile_mean as interquartile_mean
from ._sweep import sweep as sweep
from ._sweep_table import SweepRow as SweepRow
from ._sweep_training import SweepInterrupted as SweepInterrupted
from ._train import train_run as train_run
from ._workers import WorkerError as WorkerError
