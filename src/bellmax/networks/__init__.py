"""Equinox modules, each written for one example: batch them with `jax.vmap`."""

from ._convolutional import Convolutional as Convolutional
from ._encoder import Encoder as Encoder
from ._mlp import MLP as MLP
from ._values import CategoricalMean as CategoricalMean
from ._values import EveryAction as EveryAction
from ._values import QuantileMean as QuantileMean
