"""Equinox modules, each written for one example: batch them with `jax.vmap`."""

from ._convolutional import Convolutional as Convolutional
from ._dueling import Dueling as Dueling
from ._encoder import Encoder as Encoder
from ._implicit import ImplicitQuantiles as ImplicitQuantiles
from ._mlp import MLP as MLP
from ._noisy import NoisyLinear as NoisyLinear
from ._noisy import count_noisy as count_noisy
from ._noisy import perturbed as perturbed
from ._noisy import with_noise as with_noise
from ._recurrent import Recurrent as Recurrent
from ._recurrent import RecurrentNetwork as RecurrentNetwork
from ._values import CategoricalMean as CategoricalMean
from ._values import EveryAction as EveryAction
from ._values import QuantileMean as QuantileMean
