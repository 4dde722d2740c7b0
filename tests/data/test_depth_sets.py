"""Depth data with joints of their own, as cm-VAE reads them: 36 joints of NYU of which 14 are judged, 16 of
ICVL, MSRA's nine people."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, cube_centre, cut
from handvae.data.open import open_data
from handvae.data.readers import nyu
from handvae.data.subset import Subset
from handvae.evaluation.estimate_metrics import pose_metric
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.study import Study
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.noise import Noise
from handvae.reproduction.protocol import protocol_of
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.system import Prediction

CUBE = Crop(32, box="cube", cube_mm=400.0)
TINY = CmVaeConfig(
    input="depth",
    variant=4,
    root="centre",
    latent_dims=4,
    encoder=ResNetEncoder(8),
    decoder_width=16,
    hidden=16,
    norm="group",
    posterior_samples=2,
)
COUNTS = {"nyu": 36, "icvl": 16}
SMALL = [
    *(
        "--system.latent-dims",
        4,
        "--system.encoder.width",
        8,
        "--system.decoder-width",
        16,
        "--system.hidden",
        16,
    ),
    *(
        "--system.posterior-samples",
        2,
        "--crop.size-px",
        32,
        "--train.epochs",
        "None",
        "--train.steps",
        2,
        "--train.batch",
        2,
    ),
    *("--train.workers", 1),
]


@pytest.fixture
def opened(laid_out):
    """The test split of a data set, and a small system for it."""

    def make(name, config=TINY):
        data = open_data(laid_out(name)[0], "test")
        torch.manual_seed(0)
        return data, CmVae(config, data.spec, CUBE).eval()

    return make


@pytest.mark.parametrize("name", COUNTS)
def test_poses_are_relative_to_the_joints_mean_in_halves_of_the_cube(name, opened):
    data, system = opened(name)
    hands = cut(data, torch.arange(len(data)), CUBE, fields=system.fields)
    joints, (solid, valid) = system.joints_of(hands), hands.require_all("joints_3d", "joint_valid")
    assert joints.shape == (len(data), COUNTS[name], 3)
    torch.testing.assert_close(joints.mean(1), torch.zeros(len(data), 3), rtol=0, atol=1e-5)
    torch.testing.assert_close(joints * 200 + cube_centre(solid, valid)[:, None], solid, rtol=0, atol=1e-3)
    assert system.unit_mm == 200.0
    for phase in system.step(hands, "all", Noise(0)):
        assert phase.losses.total > 0
    assert system.sample_sheet(hands, Noise(0)).shape == (3, 4 * 128, len(data) * 128)


def test_a_hand_that_lacks_a_joint_has_no_centre_and_does_not_count(opened):
    data, system = opened("icvl")
    hands = cut(data, torch.arange(len(data)), CUBE, fields=system.fields)
    valid = hands.joint_valid.clone()
    valid[0, 12] = False
    some = replace(hands, joint_valid=valid)
    assert system.labelled(some).sum(1).tolist() == [0, *[16] * (len(data) - 1)]
    assert not system.joints_of(some)[0].any()


def test_of_nyus_36_joints_14_are_judged_relative_to_the_mean_of_all(opened, monkeypatch):
    data, system = opened("nyu")
    evaluated_joints = torch.zeros(36, dtype=torch.bool)
    evaluated_joints[list(nyu.EVALUATION_JOINTS)] = True

    def off(self, hands, inputs=()):
        """By 30 mm in the judged joints (one of the first hand by 60), by much more in the others."""
        joints = self.joints_of(hands)
        wrong = torch.where(evaluated_joints, 30.0, 900.0).expand(len(joints), -1).clone()
        wrong[0, nyu.EVALUATION_JOINTS[3]] = 60.0
        return Prediction(joints + wrong[..., None] * torch.tensor([0.0, 0.6, 0.8]) / self.unit_mm, joints)

    monkeypatch.setattr(CmVae, "predict", off)
    for some in (data, Subset(data, range(len(data)))):
        predictions = predict_hands(system, some)
        assert predictions.target.shape[1] == predictions.joints_px.shape[1] == 14
        found = {
            measure.name: measure for measure in pose_metric(Study("one", system, some, predictions)).measures
        }
        assert found["epe"].value == pytest.approx(30 + 30 / (14 * len(data)), rel=1e-4)
        assert found["pcf@40_mm"].value == pytest.approx(100 * (1 - 1 / len(data)))
        assert "root the joints' mean" in str(found["epe"].protocol)
        assert "all 14 labelled" in str(found["epe"].protocol)
        assert "mpjpe_bone_units" not in found  # there is no such bone


def test_bones_and_palms_are_of_21_joints(opened):
    with pytest.raises(ValueError, match="set root to centre"):
        opened("nyu", replace(TINY, root="palm"))


@pytest.mark.parametrize("name", COUNTS)
def test_a_set_with_joints_of_its_own_is_trained_on_and_measured(name, laid_out, handvae, refused, tmp_path):
    root, run = laid_out(name)[0], tmp_path / "run"
    code, _, error = handvae(
        "train", "cm-vae-depth", "--data.root", root, "--out", run, "--system.root", "centre", *SMALL
    )
    assert code == 0, error
    code, _, error = handvae("evaluate", run, root, "--report", tmp_path / "measured", "--metrics", "pose")
    assert code == 0, error
    (model,) = json.loads((tmp_path / "measured" / "report.json").read_text())["models"]
    names = {measure["name"] for measure in model["measures"]}
    page = (tmp_path / "measured" / "report.html").read_text()
    assert "The worst: labels above" in page
    assert "Pictures of " in page
    assert {"epe", "epe_median", "pcf@20_mm", "pcf@40_mm"} <= names
    assert "reads 21" in refused("evaluate", "lifting", root)
    assert "have none" in refused("walk", "open", "fist", "--model", run, "--out", tmp_path / "walk.gif")
    assert f"reads {COUNTS[name]}" in refused(
        "estimate", run / "config.json", "--model", run, "--out", tmp_path / "out"
    )


def test_full_scale_leaves_out_whom_the_user_names(laid_out, handvae, refused, tmp_path, monkeypatch):
    root = laid_out("msra")[0]
    words = ("reproduce", "cm-vae-depth", "--data", root, "--scale", "full", "--out", tmp_path / "out")
    assert "P0, P1" in refused(*words, "--protocol", "P9")
    people = []

    def note(rows, root, asked=None, scale=None):
        protocol = protocol_of(rows, root, asked, scale)
        people.append(protocol.name)
        return protocol

    monkeypatch.setattr("handvae.reproduction.build.protocol_of", note)
    assert "no row" in refused(*words, "--protocol", "P3", "--rows", "nothing")
    assert "no row" in refused(*words, "--rows", "nothing")
    # without a person each is left out once; the first table already refuses
    assert people == ["P3", "P0"]
