"""Every preset takes a step of each of its stages, and the steps reach all of its weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.crop import cut
from handvae.data.scenes import LabelledScenes
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.noise import Noise
from handvae.systems.build import build_system
from handvae.systems.da_vae import DaVaeConfig
from handvae.systems.detector import Detector, DetectorConfig
from handvae.training.loop import activate_stage
from handvae.training.presets import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_a_step_of_each_preset_moves_every_parameter(name, drawn):
    preset, config = PRESETS[name], PRESETS[name].system
    if getattr(config, "blocks", "") == "residual":  # at their real widths a step takes minutes
        narrow = {
            part: tuple(width // 8 for width in getattr(config, part))
            for part in ("encoder_widths", "decoder_widths")
        }
        config = replace(config, **narrow)
    if preset.crop.size_px == 256 and isinstance(config, DaVaeConfig):
        config = replace(
            config,
            encoder=ResNetEncoder(16),
            head_width=config.head_width // 4,
            mask_width=16,
            fold_width=64,
        )
    torch.manual_seed(0)
    data = drawn(4)
    if preset.crop.box == "picture":
        data = LabelledScenes(data, all_labelled=True)
    sides = data.spec.sides if preset.crop.sides == "keep" else preset.crop.sides
    system = build_system(config, replace(data.spec, size_px=preset.crop.size_px, sides=sides), preset.crop)
    roles = system.pretrained()
    if "critic" in roles:
        critic = DetectorConfig(widths=(8, 16, 16, 16), hidden=32)
        system.attach("critic", Detector(critic, system.spec, preset.crop))
    if "detector" in roles:
        widths = config.encoder.widths
        system.attach("detector", Detector(DetectorConfig(widths=widths), system.spec, preset.crop))
    batch = cut(data, torch.arange(4), preset.crop, fields=system.fields)
    system.prepare(batch)
    for stage in system.stages:
        activate_stage(system, stage)
        for phase in system.step(batch, stage.name, Noise(0)):
            assert all(np.isfinite(value) for value in phase.losses.scalars().values())
            group = [p for module in system.groups[phase.group] for p in module.parameters()]
            torch.autograd.backward(phase.losses.total, inputs=group)
    still = [
        key
        for key, p in system.named_parameters()
        if p.grad is None or not torch.isfinite(p.grad).all() or p.grad.abs().max() == 0
    ]
    if "detector" in roles and not config.encoder.keypoint_weight:  # a detector that does not learn
        frozen = [p for name, p in system.named_parameters() if name.startswith("keypoint_backbone.")]
        assert frozen
        assert all(p.grad is None for p in frozen)
        still = [key for key in still if not key.startswith("keypoint_backbone.")]
    # with exact poses nothing asks the decoder's maps of a pose that is not there; every other parameter must
    # move
    assert still == []
