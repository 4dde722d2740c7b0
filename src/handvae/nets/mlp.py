"""Linear layers for joints and other short vectors."""

from itertools import pairwise

from torch import nn

HIDDEN = 512
LAYERS = 5


def hidden_layers(inputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five linear layers, each with ReLU: `inputs` numbers to `hidden`."""
    sizes = (inputs, *[hidden] * LAYERS)
    layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU()) for a, b in pairwise(sizes)]
    return nn.Sequential(*layers)


def mlp(inputs: int, outputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five hidden layers and a linear one: the joint decoder of cm-VAE, dVAE and da-VAE."""
    return nn.Sequential(hidden_layers(inputs, hidden), nn.Linear(hidden, outputs))
