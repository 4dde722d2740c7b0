"""Linear layers for joints and other short vectors."""

from itertools import pairwise

from torch import nn

HIDDEN = 512
"""Width of the hidden layers, as published."""
LAYERS = 5
"""Number of hidden layers, as published."""


def hidden_layers(inputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five linear layers, each with ReLU: `inputs` numbers to `hidden`."""
    widths = (inputs, *[hidden] * LAYERS)
    return nn.Sequential(*(nn.Sequential(_linear(a, b), nn.ReLU()) for a, b in pairwise(widths)))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer initialised as He et al. (2015).

    With torch's own initialisation a fifteenth of the input's deviation is left after five layers, and
    training hardly moves at first.
    """
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs: int, outputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five hidden layers and a linear one: the joint decoder of cm-VAE, dVAE and da-VAE."""
    return nn.Sequential(hidden_layers(inputs, hidden), nn.Linear(hidden, outputs))
