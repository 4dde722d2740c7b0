"""Linear layers for joints and other short vectors."""

from itertools import pairwise

from torch import nn

HIDDEN = 512
LAYERS = 5


def hidden_layers(inputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five linear layers, each with ReLU: `inputs` numbers to `hidden`."""
    return nn.Sequential(
        *(nn.Sequential(_linear(a, b), nn.ReLU()) for a, b in pairwise((inputs, *[hidden] * LAYERS)))
    )


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """He's start: torch's own leaves a fifteenth of the input's variation after five layers, and little is
    learned for long."""
    layer = nn.Linear(inputs, outputs)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def mlp(inputs: int, outputs: int, hidden: int = HIDDEN) -> nn.Sequential:
    """Five hidden layers and a linear one: the joint decoder of cm-VAE, dVAE and da-VAE."""
    return nn.Sequential(hidden_layers(inputs, hidden), nn.Linear(hidden, outputs))
