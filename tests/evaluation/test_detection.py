"""Detectors: models made to see other crops, and other programs."""

import json
import sys

import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.errors import UserError
from handvae.evaluation.detection import CommandDetector, ModelDetector
from handvae.systems.system import PoseEstimator, Prediction

SPOT = torch.tensor([14.0, 25.0])


class Brightest(PoseEstimator):
    """Reads all joints at the brightest place of a picture."""

    pose = "2d"

    def __init__(self, crop: Crop) -> None:
        super().__init__()
        self.crop, self.spec = crop, DataSpec("any", 1, crop.size_px, ("image", "joints_2d"), "right")

    def predict_uncalibrated(self, hands, inputs=()):
        image = hands.require("image")
        assert image.shape[-1] == self.crop.size_px
        weight = image.mean(1).pow(8)
        centres = (torch.arange(image.shape[-1]) + 0.5) * (2 / image.shape[-1]) - 1
        x, y = (weight.sum(1) * centres).sum(1), (weight.sum(2) * centres).sum(1)
        joints = (torch.stack([x, y], 1) / weight.sum((1, 2))[:, None])[:, None].expand(-1, 21, -1)
        return Prediction(joints, torch.ones_like(joints))

    stages = groups = property(lambda self: ())
    prepare = step = summarise = sample_sheet = joints_of = None


@pytest.fixture
def spot():
    """A soft spot in a 48 px picture."""
    places = torch.arange(48) + 0.5
    distance = (places[None] - SPOT[0]).square() + (places[:, None] - SPOT[1]).square()
    return torch.exp(-distance / 18).expand(1, 3, 48, 48).contiguous()


@pytest.mark.parametrize(
    "own",
    [Crop(48, 1.35), Crop(96, 1.35), Crop(32, 1.35), Crop(48, 2.0), Crop(64, 1.1), Crop(64, 1.6, "left")],
    ids=["its own", "larger", "smaller", "wider", "closer", "mirrored"],
)
def test_a_model_finds_a_place_whatever_its_own_crop(own, spot):
    found = ModelDetector(Brightest(own), "spot").detect(iter([spot, spot]), Crop(48, 1.35, "right"))
    assert found.found.tolist() == [True, True]
    assert found.joints_px.shape == (2, 21, 2)
    torch.testing.assert_close(found.joints_px[1, 3], SPOT, atol=0.35, rtol=0)


def test_a_model_that_looks_wider_sees_the_same_hand_smaller(spot):
    """Without the zoom the spot would be found at the same share of another crop."""
    seen = []
    reader = Brightest(Crop(48, 2.7))
    original = reader.predict_uncalibrated
    reader.predict_uncalibrated = lambda hands: seen.append(hands.image) or original(hands)
    ModelDetector(reader, "spot").detect(iter([spot]), Crop(48, 1.35))
    assert (seen[0] > 0.5).sum() == pytest.approx(int((spot > 0.5).sum()) / 4, rel=0.3)


def test_a_detector_says_whether_it_is_the_model_itself():
    one, other = Brightest(Crop(48)), Brightest(Crop(48))
    assert "NOT independent" in ModelDetector(one, "a").relation(one)
    assert "NOT independent" not in ModelDetector(one, "a").relation(other)


def test_a_detector_says_that_the_model_was_trained_against_it():
    class Taught(Brightest):
        teachers = ("judge",)

    assert "NOT independent" in ModelDetector(Brightest(Crop(48)), "judge").relation(Taught(Crop(48)))
    assert "NOT independent" not in ModelDetector(Brightest(Crop(48)), "another").relation(Taught(Crop(48)))


def test_a_model_of_3d_poses_is_no_detector():
    reader = Brightest(Crop(48))
    reader.pose = "3d"
    with pytest.raises(UserError, match="give a 2D model"):
        ModelDetector(reader, "solid")


@pytest.fixture
def program(tmp_path):
    """A detector as a program: the given Python lines, with `names` of the pictures in the folder."""

    def write(*lines):
        path = tmp_path / "finder.py"
        start = [
            "import json, pathlib, sys",
            "names = sorted(p.name for p in pathlib.Path(sys.argv[-1]).glob('*.png'))",
        ]
        path.write_text("\n".join([*start, *lines]))
        return CommandDetector(f"{sys.executable} {path}")

    return write


def test_a_program_finds_joints_or_none(program, spot):
    pose = json.dumps([[float(j), 2.5] for j in range(21)])
    detector = program(f"print(json.dumps({{n: None if i == 1 else {pose} for i, n in enumerate(names)}}))")
    found = detector.detect(iter([spot, torch.cat([spot, spot])]), Crop(48))
    assert found.found.tolist() == [True, False, True]
    assert found.joints_px[2, 7].tolist() == [7.0, 2.5]
    assert found.joints_px[1].isnan().all()
    assert detector.name.endswith("finder.py")
    assert "/" not in detector.name


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["print('hello')"], "printed something else"),
        (["print(json.dumps({n: [[1, 2]] for n in names}))"], "printed something else (00000.png"),
        (["print(json.dumps({n: [[1, 2, 3]] * 21 for n in names}))"], "printed something else (00000.png"),
        (["print(json.dumps({n: [[float('nan'), 2]] * 21 for n in names}))"], "printed something else"),
        (["print('{}')"], "left out 1 pictures, such as 00000.png"),
        (["sys.exit('no camera')"], "ended with 1: no camera"),
    ],
)
def test_a_program_that_answers_something_else_is_named(lines, words, program, spot):
    with pytest.raises(UserError) as caught:
        program(*lines).detect(iter([spot]), Crop(48))
    assert words in str(caught.value)
    assert "finder.py" in str(caught.value)


def test_a_program_that_is_not_there_is_named(spot):
    with pytest.raises(UserError, match="cannot be started"):
        CommandDetector("/no/such/program").detect(iter([spot]), Crop(48))
    with pytest.raises(UserError, match="is empty"):
        CommandDetector(" ")
