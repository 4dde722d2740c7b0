"""Models and runs of the first edition open, and the shipped ones answer what they answered then."""

import json
import struct

import pytest
import torch

from handvae.data.hands import Hands
from handvae.hand import RIGHT
from handvae.systems.build import CONFIGS
from handvae.training.checkpoint import WEIGHTS, load_model
from handvae.training.first_edition import (
    modernise_config,
    modernise_header,
    modernise_run,
    modernise_tensors,
)

# four numbers for each set of inputs, recorded with commit 14e598f (see `answers`)
ANSWERS = {
    "cmvae-64": {
        "image": (0.947324, -0.824674, 0.170851, 0.658345),
        "joints_2d": (-0.1061, 0.694554, -0.23828, 0.392378),
        "image+joints_2d": (0.976014, 0.328537, 0.010813, 0.338474),
    },
    "critic-64": {"image": (-0.153336, 0.018036, 0.099386, 0.463498)},
    "davae-64": {"image": (1.011633, -1.486968, 0.099717, 0.565167)},
    "detector-64": {"image": (-0.134571, -0.133247, 0.0498, 0.505419)},
    "lifting": {"joints_2d": (0.038501, 0.730404, -0.260617, 0.196783)},
    "photos-128": {"image": (0.673527, -0.501347, 0.048294, 0.330623)},
    "photos-64": {"image": (0.75629, -0.508094, -0.047063, 0.302966)},
    "rendered-128": {"image": (0.481383, 0.24683, 0.178801, 0.25462)},
}
SHIPPED = tuple(ANSWERS)
PICTURES = {
    "photos-128": (0.764536, 0.262907, 0.541145, 0.175332),
    "photos-64": (0.728779, 0.291613, 0.54821, 0.170581),
    "rendered-128": (0.636256, 0.329956, 0.554597, 0.117155),
}
DECODED = (-0.225204, -0.085326, 0.123135, 0.064072)
"""Of davae-64: two numbers of the cloud, two of the picture."""


def waves(size_px):
    """Two smooth pictures."""
    line = torch.linspace(-1, 1, size_px)
    rows, columns = torch.meshgrid(line, line, indexing="ij")
    planes = [
        0.5 + 0.3 * torch.sin((3 + channel + picture) * rows + (2 + channel) * columns)
        for picture in range(2)
        for channel in range(3)
    ]
    return torch.stack(planes).unflatten(0, (2, 3))


def spread_points(size_px):
    """21 points in each of two pictures, px."""
    angle = torch.arange(2 * 21 * 2).float().reshape(2, 21, 2)
    return (0.5 + 0.35 * torch.sin(1.7 * angle)) * size_px


def near(values, recorded):
    return [float(value) for value in values] == pytest.approx(recorded, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_answers_as_in_the_first_edition(name):
    system = load_model(name).system
    size = system.crop.size_px
    hands = Hands(image=waves(size), joints_2d=spread_points(size), side=torch.full((2,), RIGHT))
    answers = {}
    for inputs in system.input_sets:
        prediction = system.predict(hands, inputs)
        joints, spread = prediction.joints, prediction.spread
        answers[system.asked(inputs)] = (joints[0, 4, 0], joints[1, 12, 1], joints.mean(), spread.mean())
    assert answers.keys() == ANSWERS[name].keys()
    for inputs, recorded in ANSWERS[name].items():
        assert near(answers[inputs], recorded), inputs


@pytest.mark.parametrize("name", PICTURES)
def test_a_shipped_generator_makes_the_pictures_of_the_first_edition(name):
    system = load_model(name).generator
    size = system.crop.size_px
    appearance = torch.linspace(-1, 1, 32).reshape(2, 16)
    with torch.no_grad():
        picture = system.synthesize(spread_points(size) * 2 / size - 1, appearance)
    values = (picture[0, 0, 5, 7], picture[1, 2, size // 2, size // 3], picture.mean(), picture.std())
    assert near(values, PICTURES[name])


def test_the_shipped_da_vae_decodes_as_in_the_first_edition():
    system = load_model("davae-64").system
    with torch.no_grad():
        decoded = system.decode(system.encode(waves(64)).mean)
    cloud, image = decoded.cloud, decoded.image
    assert near((cloud[0, 100, 2], cloud.mean(), image[1, 1, 20, 30], image.mean()), DECODED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_header_has_this_editions_names_once_read(name):
    with (WEIGHTS / f"{name}.safetensors").open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        old = json.loads(json.loads(file.read(length))["__metadata__"]["handvae"])
    new = modernise_header(old)
    assert new["system"] in CONFIGS
    assert not set(new["spec"]["modalities"]) & {"parts", "tag_parts"}
    assert not set(new["config"]) & {"finder", "found_weight", "apart", "trunk_width"}
    assert modernise_header(new) == new, "names of this edition stay"


def test_the_fields_of_a_picture_encoder_become_one():
    old = {
        "trunk_width": 24,
        "stem": "half",
        "finder": "some",
        "finder_widths": [8, 8, 16],
        "found_weight": 3.0,
    }
    assert modernise_config("da_vae", old) == {
        "encoder": {
            "kind": "keypoints",
            "model": "some",
            "widths": [8, 8, 16],
            "keypoint_weight": 3.0,
            "resnet": {"kind": "resnet", "width": 24, "stem": "half"},
        }
    }
    plain = modernise_config("cm_vae", {"trunk_width": 32, "finder": "", "finder_widths": [8, 8, 16]})
    assert plain == {"encoder": {"kind": "resnet", "width": 32}}
    assert modernise_config("dvae_pose", {"trunk_width": 32}) == {"trunk_width": 32}


def test_a_run_folders_options_have_this_editions_names():
    old = {"preset": "judge-64", "system": {"apart": True}, "data": {"modalities": ["parts"]}, "train": {}}
    new = modernise_run("da_vae", old)
    assert new["preset"] == "critic-64"
    assert new["system"]["detach_across_factors"] is True
    assert new["data"] == {"modalities": ["segmentation"]}
    assert new["train"] == {}


def test_tensors_have_this_editions_names():
    old = {"finder.head.heat.bias": 1, "encoder.finder.x": 2}
    assert modernise_tensors(old) == {"keypoint_backbone.head.heat.bias": 1, "encoder.finder.x": 2}
