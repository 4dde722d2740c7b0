"""Batch normalisation of generators: its statistics, and new ones measured on generated pictures."""

import torch
from torch import nn

from handvae.data.crop import cut
from handvae.data.dataset import HandData
from handvae.errors import UserError
from handvae.evaluation.generation_inputs import fully_labelled_rows
from handvae.evaluation.model_predictions import BATCH
from handvae.noise import Noise, Stream
from handvae.systems.system import Generator

_Norm = nn.modules.batchnorm._BatchNorm


def batch_norm_mode(system: nn.Module) -> str:
    """The statistics that a system's batch normalisation uses: `eval`, `train`, `eval, renewed` or `none`."""
    layers = _layers(system)
    if not layers:
        return "none"
    if any(layer.training for layer in layers):
        return "train"
    renewed = any(layer.momentum is None for layer in layers)
    return "eval, renewed" if renewed else "eval"


@torch.no_grad()
def renew_statistics(system: Generator, data: HandData, batches: int, *, seed: int = 0) -> None:
    """Replace running statistics of generating layers by means over batches of generated pictures.

    The statistics from training followed reconstructions and fakes of the last steps; with them a checkpoint
    can look far worse than with the batch's own. Renewed layers keep no momentum, by which `batch_norm_mode`
    knows them. Layers that generate nothing, the encoder's, are left alone.

    Args:
        system: in evaluation mode.
        data: its poses are requested, repeatedly where there are fewer.
        batches: how many.
        seed: of the appearances.

    Raises:
        UserError: no hand has all its joints labelled.
    """
    rows = fully_labelled_rows(data)
    if not len(rows):
        fault = "no hand has all its joints labelled, so no picture can be generated"
        raise UserError(data.spec.name, fault, "give another set")

    # momentum None makes a layer average over all batches
    layers = _layers(system)
    buffers = [{name: value.clone() for name, value in layer.named_buffers()} for layer in layers]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None
        layer.train()

    for step in range(batches):
        some = rows[(torch.arange(BATCH) + step * BATCH) % len(rows)]
        joints = system.joints_of(cut(data, some, system.crop, fields=()))
        appearance = system.random_appearance(len(some), Noise(seed, step, Stream.RENEWAL))
        system.synthesize(joints, appearance)

    # layers that saw no batch get their old statistics back
    for layer, old_buffers, old_momentum in zip(layers, buffers, momenta, strict=True):
        layer.eval()
        if layer.num_batches_tracked == 0:
            layer.load_state_dict(layer.state_dict() | old_buffers)
            layer.momentum = old_momentum


def _layers(system: nn.Module) -> list[_Norm]:
    return [module for module in system.modules() if isinstance(module, _Norm)]
