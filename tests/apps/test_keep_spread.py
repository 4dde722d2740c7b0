"""`handvae evaluate --keep-spread`: a spread is fitted once, kept with the model, and told by every command
from then on."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from handvae.data.crop import Crop, cut
from handvae.data.hands import DataSpec, Hands
from handvae.data.readers.coco import CocoHands
from handvae.errors import UserError
from handvae.evaluation.model_predictions import predict_hands
from handvae.evaluation.spread import ONE_SIGMA, coverage
from handvae.evaluation.spread_scales import fit_spread_scales
from handvae.nets.picture_encoders import ResNetEncoder
from handvae.systems.cm_vae import CmVae, CmVaeConfig
from handvae.systems.detector import Detector, DetectorConfig
from handvae.systems.spread import SpreadScale
from handvae.training.checkpoint import WEIGHTS, keep_spread_scales, load_model, save_model

SPEC = DataSpec("drawn", 48, 32, ("image", "joints_2d", "joints_3d", "joint_valid", "side"), "right")
SMALL = CmVaeConfig(
    variant=1,
    latent_dims=6,
    encoder=ResNetEncoder(8, "half"),
    hidden=32,
    norm="group",
    posterior_samples=4,
    more_pairs=("2d-3d",),
)
close = torch.testing.assert_close


@pytest.fixture
def both(tmp_path):
    """An untrained model that reads pictures, 2D joints, or both together."""
    torch.manual_seed(0)
    save_model(
        tmp_path / "both.safetensors", CmVae(SMALL, SPEC, Crop(32)), preset="drawn", dtype=torch.float16
    )
    return tmp_path / "both.safetensors"


@pytest.fixture
def hands(tiny_set):
    """All 48 drawn hands."""
    return CocoHands(tiny_set)


@pytest.fixture
def kept(both, tiny_set, handvae):
    """The same model after its spread was fitted on the drawn hands; what was said, and what its file held
    before."""
    before = load_file(both)
    code, said, error = handvae(
        "evaluate", both, tiny_set, "--split", "None", "--metrics", "spread", "--keep-spread"
    )
    assert code == 0, error
    return both, said, before


def header(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["handvae"])


def told(handvae, tmp_path, *words):
    code, _, error = handvae("estimate", *words, "--out", tmp_path / "out")
    assert code == 0, error
    (hand,) = json.loads((tmp_path / "out" / "estimate.json").read_text())["hands"]
    return hand


# ------------------------------------------------------------------------------------------ ---- what is kept


def test_what_was_fitted_is_read_again_and_the_weights_are_the_same_bits(kept, hands):
    path, said, before = kept
    after = load_file(path)
    assert after.keys() == before.keys()
    assert all(
        torch.equal(value, after[name]) and value.dtype == after[name].dtype for name, value in before.items()
    )
    model = load_model(path)
    scales = model.pose_estimator.spread_scales
    assert scales.keys() == {"image", "joints_2d", "image+joints_2d"}
    assert all(scale.fitted_on == "48 hands of tiny" for scale in scales.values())
    assert scales["image"] != scales["joints_2d"]
    assert model.header.preset == "drawn"
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert all(f"spread of {name}: " in said for name in scales)


def test_errors_of_the_hands_fitted_on_are_as_large_as_the_spread(kept, hands):
    model = load_model(kept[0]).pose_estimator
    for inputs in model.input_sets:
        batch = cut(hands, torch.arange(48), model.crop)
        found = model.predict(batch, inputs)
        errors, valid = found.joints - model.joints_of(batch), model.labelled(batch)
        assert float(coverage(errors, found.spread, valid, (ONE_SIGMA,))) == pytest.approx(0.683, abs=0.06)
        assert (
            float(coverage(errors, model.predict_uncalibrated(batch, inputs).spread, valid, (ONE_SIGMA,)))
            < 0.6
        )


def test_a_run_folders_model_keeps_it(both, tiny_set, handvae):
    folder = both.parent / "run"
    folder.mkdir()
    both.rename(folder / "model.safetensors")
    assert (
        handvae("evaluate", folder, tiny_set, "--split", "None", "--metrics", "spread", "--keep-spread")[0]
        == 0
    )
    assert header(folder / "model.safetensors")["spread_scales"]


def test_a_second_fit_is_of_the_claims_and_not_of_the_calibrated_spread(kept, tiny_set, handvae):
    path, _, _ = kept
    once = header(path)
    assert (
        handvae("evaluate", path, tiny_set, "--split", "None", "--metrics", "spread", "--keep-spread")[0] == 0
    )
    assert header(path) == once


def test_a_model_saved_again_keeps_its_scale_and_other_weights_do_not(kept, tmp_path):
    model = load_model(kept[0])
    save_model(tmp_path / "again.safetensors", model.system)
    assert header(tmp_path / "again.safetensors")["spread_scales"] == header(kept[0])["spread_scales"]
    save_model(tmp_path / "other.safetensors", model.system, state=model.system.state_dict())
    assert header(tmp_path / "other.safetensors")["spread_scales"] == {}


def test_a_new_scale_replaces_all_old_ones(kept):
    model = load_model(kept[0])
    keep_spread_scales(model, {"image": SpreadScale((1.0,) * 3, (0.5,) * 3, "others")})
    assert load_model(kept[0]).pose_estimator.spread_scales == {
        "image": SpreadScale((1.0,) * 3, (0.5,) * 3, "others")
    }


# ---------------------------------------------------------------------------------------- -- where it is told


@pytest.fixture
def marked(both):
    """The model with scales that are easily told apart: a floor of 1, 2 or 3 bones and nothing of the
    claim."""
    floors = {"image": 1.0, "joints_2d": 2.0, "image+joints_2d": 3.0}
    scales = {
        name: SpreadScale((0.0,) * 3, (floor,) * 3, f"hands of {name}") for name, floor in floors.items()
    }
    keep_spread_scales(load_model(both), scales)
    return both


def test_each_input_is_told_with_its_own_scale(marked, tiny_set, handvae, tmp_path):
    photo, joints = tiny_set / "images" / "003.png", tmp_path / "joints.json"
    joints.write_text(json.dumps(CocoHands(tiny_set).labels(torch.tensor([3])).joints_2d[0].tolist()))
    for words, floor, name in (
        ((photo,), 1.0, "image"),
        ((joints,), 2.0, "joints_2d"),
        ((photo, joints, "--together"), 3.0, "image+joints_2d"),
    ):
        hand = told(handvae, tmp_path, *words, "--model", marked)
        close(torch.tensor(hand["spread_3d_bone_units"]), torch.full((21, 3), floor))
        assert hand["spread_is"] == f"standard deviation, calibrated on hands of {name}"


def test_inputs_without_a_scale_are_told_as_claimed(both, hands):
    keep_spread_scales(load_model(both), {"image": SpreadScale((2.0,) * 3, (0.1,) * 3, "hands")})
    model = load_model(both).pose_estimator
    batch = cut(hands, torch.arange(4), model.crop)
    for inputs in (("joints_2d",), ("image", "joints_2d")):
        found = model.predict(batch, inputs)
        assert torch.equal(found.spread, model.predict_uncalibrated(batch, inputs).spread)
        assert found.calibrated_on == ""


def test_a_scale_is_applied_once(both, hands):
    """To what is read by name and by default, in crops and in an evaluation."""
    keep_spread_scales(load_model(both), {"image": SpreadScale((2.0, 3.0, 4.0), (0.1,) * 3, "hands")})
    model = load_model(both).pose_estimator
    batch = cut(hands, torch.arange(48), model.crop)
    expected = (
        (
            model.predict_uncalibrated(Hands(image=batch.require("image"))).spread
            * torch.tensor([2.0, 3.0, 4.0])
        ).square()
        + 0.01
    ).sqrt()
    close(model.predict(batch).spread, expected)
    close(model.predict(batch, ["image"]).spread, expected)
    predictions = predict_hands(model, hands)
    close(predictions.spread, expected)
    assert predictions.calibrated_on == "hands"


def test_an_evaluation_says_on_what_the_spread_was_calibrated(marked, tiny_set, handvae):
    code, said, _ = handvae("evaluate", marked, tiny_set, "--metrics", "spread")
    assert code == 0
    assert "spread calibrated on hands of image" in " ".join(said.split())


def test_a_2d_models_spread_is_scaled_in_the_unit_of_the_picture(tiny_set, handvae, tmp_path):
    path = tmp_path / "flat.safetensors"
    save_model(path, Detector(DetectorConfig(widths=(8, 16, 16, 16), norm="group"), SPEC, Crop(32)))
    keep_spread_scales(load_model(path), {"image": SpreadScale((0.0, 0.0), (0.5, 0.5), "hands")})
    hand = told(handvae, tmp_path, tiny_set / "images" / "003.png", "--model", path, "--box", "10,10,60,60")
    expected = 0.5 * 60 * Crop(32).margin / 2  # half a crop unit: a quarter of the crop
    assert hand["spread_px"] == pytest.approx([expected] * 21, rel=0.02)


def test_the_joint_that_others_are_relative_to_is_left_as_claimed_and_has_no_say(hands):
    """Its label is 0 whatever the hand does; a model that read nonsense there would else be told to be unsure
    of all joints."""
    torch.manual_seed(0)
    model = CmVae(replace(SMALL, root="wrist"), SPEC, Crop(32)).eval().requires_grad_(False)
    fitted = {name: found.scale for name, found in fit_spread_scales(model, hands, "drawn").items()}
    model.decoders["3d"][0][-1].bias[:3] += 50  # the wrist's
    again = {name: found.scale for name, found in fit_spread_scales(model, hands, "drawn").items()}
    assert again == fitted
    model.take_spread_scales(fitted)
    batch = cut(hands, torch.arange(8), model.crop)
    found, claimed = model.predict(batch), model.predict_uncalibrated(batch)
    assert torch.equal(found.spread[:, 0], claimed.spread[:, 0])
    assert (found.spread[:, 1:] != claimed.spread[:, 1:]).all()
    assert CmVae(SMALL, SPEC, Crop(32)).root_joint is None  # the palm lies between joints


def test_lifted_joints_are_told_with_the_lifting_models_scale(tiny_set, handvae, tmp_path):
    hand = told(handvae, tmp_path, tiny_set / "images" / "001.png", "--model", "detector-64")
    scale = load_model("lifting").pose_estimator.spread_scales["joints_2d"]
    assert (
        hand["spread_3d_is"]
        == f"standard deviation, calibrated on {scale.fitted_on}; what the 2D joints are unsure of is added"
    )
    assert torch.tensor(hand["spread_3d_bone_units"]).amin(0).tolist() >= [
        0.99 * floor for floor in scale.floor
    ]
    assert hand["spread_is"] == "standard deviation claimed by the model, not calibrated"


# ----------------------------------------------------------------------------------------- -- what is refused


def test_a_fit_that_fails_leaves_the_file(both, tiny_set, small_set, refused, tmp_path):
    before = both.read_bytes()
    assert "3 labelled hands" in refused("evaluate", both, small_set(), "--split", "None", "--keep-spread")
    assert "one model" in refused("evaluate", both, both, tiny_set, "--split", "None", "--keep-spread")
    words = ("--split", "None", "--keep-spread", "--metrics", "leakage", "--report", tmp_path / "report")
    refused("evaluate", both, tiny_set, *words)  # it makes no pictures
    assert both.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_file(both, tiny_set, refused, monkeypatch):
    before = both.read_bytes()

    def full(tensors, beside, metadata):
        beside.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("handvae.training.checkpoint.save_file", full)
    line = refused("evaluate", both, tiny_set, "--split", "None", "--metrics", "spread", "--keep-spread")
    assert "disk full" in line
    assert both.read_bytes() == before
    assert [one.name for one in both.parent.iterdir()] == [both.name]


def test_a_file_that_may_not_be_written_is_refused_before_anything_is_read(
    both, tiny_set, refused, monkeypatch
):
    monkeypatch.setattr("handvae.evaluation.spread_scales.os.access", lambda path, how: False)
    monkeypatch.setattr(
        "handvae.evaluation.model_predictions.predict_hands", lambda *_: pytest.fail("was read")
    )
    assert "may not be written" in refused("evaluate", both, tiny_set, "--split", "None", "--keep-spread")


@pytest.mark.parametrize("named", ["by name", "by a link"])
def test_a_shipped_model_stays_as_it_is(named, tiny_set, refused, tmp_path):
    shipped = WEIGHTS / "detector-64.safetensors"
    (tmp_path / "link.safetensors").symlink_to(shipped)
    before = shipped.read_bytes()
    line = refused(
        "evaluate",
        "detector-64" if named == "by name" else tmp_path / "link.safetensors",
        tiny_set,
        "--keep-spread",
    )
    assert "copy" in line
    assert shipped.read_bytes() == before


def test_a_model_that_claims_no_spread_is_refused(tiny_set, refused, tmp_path):
    torch.manual_seed(0)
    system = CmVae(SMALL, SPEC, Crop(32)).requires_grad_(False)
    system.decoders["3d"][0][-1].weight.zero_()  # whatever z is, the same hand
    path = tmp_path / "certain.safetensors"
    save_model(path, system)
    assert "claims no spread" in refused(
        "evaluate", path, tiny_set, "--split", "None", "--metrics", "spread", "--keep-spread"
    )
    assert header(path)["spread_scales"] == {}


def test_data_that_have_nothing_to_read_are_refused(both, hands):
    hands.spec = replace(hands.spec, modalities=("depth", "joints_3d"))
    with pytest.raises(UserError, match="has no image or joints_2d"):
        fit_spread_scales(load_model(both).pose_estimator, hands, "blind")
