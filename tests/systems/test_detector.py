"""The detector: what it learns, what its spread means, and how the commands take a system that makes no
pictures."""

import json
from dataclasses import replace

import pytest
import torch

from handvae.data.crop import Crop, to_crop_px
from handvae.data.hands import DataSpec, Hands
from handvae.errors import UserError
from handvae.noise import Noise
from handvae.systems.detector import Detector, DetectorConfig
from handvae.systems.system import Generator, PoseEstimator
from handvae.training.checkpoint import load_model, save_model
from handvae.training.presets import PRESETS

SMALL = DetectorConfig(widths=(8, 16, 16, 16), hidden=32, norm="group")
FLAT = replace(SMALL, head="linear")
SOLID = replace(FLAT, pose="3d")
SMALL_FLAGS = [
    *(
        "--system.widths",
        "8",
        "16",
        "16",
        "16",
        "--system.norm",
        "group",
        "--crop.size-px",
        "32",
        "--train.no-compile",
    ),
    *(
        "--train.precision",
        "float32",
        "--train.batch",
        "8",
        "--train.workers",
        "1",
        "--train.warmup-steps",
        "5",
    ),
]


@pytest.fixture
def detector(tiny_spec):
    """Builds a detector with seeded weights."""

    def make(config: DetectorConfig = SMALL, size_px: int = 32) -> Detector:
        torch.manual_seed(0)
        return Detector(config, tiny_spec, Crop(size_px))

    return make


@pytest.fixture
def detector_model(detector, tmp_path):
    """A detector's file."""
    save_model(tmp_path / "small.safetensors", detector(), steps=2, preset="detector-64")
    return tmp_path / "small.safetensors"


def losses_of(system, batch):
    return next(system.step(batch, "all", Noise(0))).losses


def taught(system, loss):
    """Names of the parameters that a loss reaches."""
    system.zero_grad()
    loss.backward()
    return {name for name, p in system.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}


# ----------------------------------------------------------------------------------------------- -- objective


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_the_joints_loss_is_the_mean_over_labelled_joints_by_hand(loss, power, detector, crops):
    system = detector(replace(SMALL, loss=loss))
    batch = replace(
        crops[:5], joint_valid=torch.rand(5, 21, generator=torch.Generator().manual_seed(0)) < 0.6
    )
    read, truth = system.predict_uncalibrated(Hands(image=batch.image)).joints, batch.joints_2d / 16 - 1
    hands = [(read[i] - truth[i])[batch.joint_valid[i]].abs().pow(power).sum(1).mean() for i in range(5)]
    assert losses_of(system, batch).pose.item() == pytest.approx(torch.stack(hands).mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "config", [SMALL, FLAT, replace(SMALL, loss="nll")], ids=["heat maps", "linear", "nll"]
)
def test_joints_without_label_change_nothing(config, detector, crops):
    valid = torch.rand(4, 21, generator=torch.Generator().manual_seed(0)) < 0.7
    batch = replace(crops[:4], joint_valid=valid)
    spoilt = replace(
        batch,
        joints_2d=torch.where(valid[..., None], batch.joints_2d, torch.full_like(batch.joints_2d, 900.0)),
    )
    system = detector(config)
    assert losses_of(system, batch).scalars() == pytest.approx(losses_of(system, spoilt).scalars(), rel=1e-6)


@pytest.mark.parametrize(
    ("config", "own"), [(SMALL, "log_factor"), (FLAT, "head.logvar")], ids=["heat maps", "linear"]
)
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_spread_is_learned_without_a_word_to_the_joints(loss, config, own, detector, crops):
    system = detector(replace(config, loss=loss))
    reached = taught(system, losses_of(system, crops[:4]).spread)
    assert reached == {f"{own}.weight", f"{own}.bias"}
    assert reached.isdisjoint(taught(system, losses_of(system, crops[:4]).pose))


def test_the_likelihood_teaches_joints_and_spread_together(detector, crops):
    system = detector(replace(SMALL, loss="nll"))
    assert taught(system, losses_of(system, crops[:4]).pose) == {
        name for name, _ in system.named_parameters()
    }


def test_the_spread_becomes_the_size_of_the_error(detector, crops):
    """Of joints that are read wrongly and stay so."""
    system, batch = detector(), crops[:16]
    optimiser = torch.optim.Adam(system.log_factor.parameters(), 0.05)
    for _ in range(150):
        optimiser.zero_grad()
        losses_of(system, batch).spread.backward()
        optimiser.step()
    read = system.predict_uncalibrated(Hands(image=batch.image))
    error = (read.joints - system.joints_of(batch)).square().mean((0, 2)).sqrt()
    claimed = read.spread.square().mean((0, 2)).sqrt()
    torch.testing.assert_close(claimed, error, rtol=0.25, atol=0.01)


@pytest.mark.parametrize(
    "config",
    [SMALL, replace(SMALL, loss="l2"), replace(SMALL, loss="nll"), FLAT, SOLID],
    ids=["l1", "l2", "nll", "linear", "3d"],
)
def test_a_small_detector_overfits_one_batch(config, detector, crops):
    system, batch = detector(config).train(), crops[:8]
    optimiser = torch.optim.Adam(system.parameters(), 5e-3)
    first = losses_of(system, batch).error.item()
    for _ in range(150):
        losses = losses_of(system, batch)
        optimiser.zero_grad()
        losses.total.backward()
        optimiser.step()
    assert losses.error.item() < first / 5


# ----------------------------------------------------------------------------------------------- ---- network


@pytest.mark.parametrize("config", [SMALL, FLAT], ids=["heat maps", "linear"])
@pytest.mark.parametrize("size_px", [32, 64, 96, 128])
def test_any_multiple_of_32_is_read(size_px, config, detector):
    system = detector(config, size_px).eval()
    image = Noise(0).uniform(2, 3, size_px, size_px)
    read = system.predict_uncalibrated(Hands(image=image))
    assert read.joints.shape == read.spread.shape == (2, 21, 2)
    assert read.spread.min() > 0
    assert system.features(image).shape == (2, system.feature_dims) == (2, 16)


def test_a_crop_that_cannot_be_halved_is_refused_with_a_size_that_can(detector):
    with pytest.raises(ValueError, match="multiple of 16, such as 64"):
        detector(size_px=72)


def test_a_hands_features_do_not_depend_on_its_batch(detector, crops):
    system = detector(replace(SMALL, norm="batch")).eval()
    together = system.features(crops.image[:6])
    torch.testing.assert_close(system.features(crops.image[2:3]), together[2:3], rtol=1e-4, atol=1e-5)
    assert (together[1:] - together[:-1]).abs().max(1).values.min() > 1e-4


def test_3d_poses_are_bone_units_from_the_wrist(detector, crops):
    system = detector(SOLID)
    joints = system.joints_of(crops)
    assert joints[:, 0].abs().max() == 0
    torch.testing.assert_close((joints[:, 10] - joints[:, 9]).norm(dim=-1), torch.ones(len(crops)))
    assert system.predict_uncalibrated(Hands(image=crops.image)).joints.shape == (48, 21, 3)


def test_3d_poses_need_joints_in_space(tiny_spec):
    with pytest.raises(ValueError, match="keypoints_3d"):
        Detector(SOLID, replace(tiny_spec, modalities=("image", "joints_2d")), Crop(32))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"pose": "3d"}, "head='linear'"),
        ({"widths": ()}, "widths"),
        ({"heatmap_levels": 4}, "heatmap_levels is 0 to 3"),
        ({"hidden": -1}, "hidden"),
    ],
)
def test_choices_that_do_not_fit_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        replace(SMALL, **wrong)


# ----------------------------------------------------------------------------------------------- -------- use


def test_the_sheet_shows_pictures_readings_and_labels(detector, crops):
    system, batch = detector().eval(), crops[:3]
    sheet = system.sample_sheet(batch, Noise(0))
    assert sheet.shape == (3, 3 * 128, 3 * 128)
    read, wanted = (
        [to_crop_px(j, 128).long().clamp(0, 127) for j in joints]
        for joints in (system.predict_uncalibrated(Hands(image=batch.image)).joints, system.joints_of(batch))
    )
    for hand in range(3):
        for row, joints in ((1, read), (2, wanted)):
            x, y = joints[hand][:, 0] + 128 * hand, joints[hand][:, 1] + 128 * row
            changed = (sheet[:, y, x] - sheet[:, y - 128 * row, x]).abs().amax(0)
            assert (changed > 0.1).float().mean() > 0.9


def test_the_summary_is_the_error_on_the_pictures_it_is_given(detector, crops):
    system = detector().eval()
    summary = system.summarise([crops[:30], crops[30:]])
    distance = (
        (system.predict_uncalibrated(Hands(image=crops.image)).joints - system.joints_of(crops))
        .norm(dim=2)
        .mean()
    )
    assert summary["training_error"] == pytest.approx(distance.item(), rel=1e-4)


def test_a_detector_comes_back_from_its_file_and_makes_no_pictures(detector_model, detector, crops):
    model = load_model(detector_model)
    assert isinstance(model.pose_estimator, PoseEstimator)
    assert not isinstance(model.system, Generator)
    torch.testing.assert_close(
        model.pose_estimator.predict_uncalibrated(Hands(image=crops.image[:4])).joints,
        detector().eval().predict_uncalibrated(Hands(image=crops.image[:4])).joints,
    )
    with pytest.raises(UserError, match="makes no pictures"):
        _ = model.generator


def test_the_presets_detector_is_small_enough_to_ship(tmp_path):
    preset = PRESETS["detector-64"]
    assert isinstance(preset.system, DetectorConfig)
    system = Detector(preset.system, DataSpec("any", 1, 64, ("image", "joints_2d"), "right"), preset.crop)
    save_model(tmp_path / "d.safetensors", system, dtype=torch.float16)
    assert (tmp_path / "d.safetensors").stat().st_size <= 12_000_000


# ----------------------------------------------------------------------------------------------- --- commands


def test_a_detector_is_trained_measured_and_used(handvae, tiny_set, tmp_path):
    run = tmp_path / "run"
    code, _, error = handvae(
        "train", "detector-64", "--data.root", tiny_set, "--out", run, *SMALL_FLAGS, "--train.steps", "3"
    )
    assert code == 0, error
    assert "joints read from them" in (run / "report.html").read_text()
    assert "random appearances" not in (run / "report.html").read_text()
    code, _, error = handvae("evaluate", run, tiny_set, "--report", tmp_path / "measured")
    assert code == 0, error
    (model,) = json.loads((tmp_path / "measured" / "report.json").read_text())["models"]
    names = {m["name"] for m in model["measures"]}
    assert {"mpjpe_px", "pckb@0.05"} <= names
    assert "psnr" not in names
    code, _, error = handvae(
        "estimate", tiny_set / "images" / "000.png", "--model", run, "--out", tmp_path / "estimate"
    )
    assert code == 0, error
    hand = json.loads((tmp_path / "estimate" / "estimate.json").read_text())["hands"][0]
    assert len(hand["keypoints"]) == 21


def test_an_option_of_another_system_is_refused(refused, tiny_set, tmp_path):
    line = refused(
        "train",
        "detector-64",
        "--data.root",
        tiny_set,
        "--out",
        tmp_path / "run",
        "--system.limb-width",
        "0.1",
    )
    assert "--system.limb-width" in line
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("synthesize", "--pose", "open", "--out", "OUT"),
        ("walk", "open", "fist", "--out", "OUT/walk.gif"),
        ("transfer", "PHOTO", "open", "--out", "OUT/sheet.png"),
        ("demo", "--out", "OUT"),
    ],
    ids=lambda words: words[0],
)
def test_commands_that_make_pictures_refuse_a_detector(command, refused, detector_model, tiny_set, tmp_path):
    words = [
        word.replace("OUT", str(tmp_path / "out")).replace("PHOTO", str(tiny_set / "images" / "000.png"))
        for word in command
    ]
    line = refused(*words, "--model", detector_model)
    assert str(detector_model) in line
    assert "makes no pictures" in line
    assert not (tmp_path / "out").exists()


def test_a_detector_has_no_pixel_variance_to_compare(refused, detector_model, tiny_set):
    assert "no variance of pixels" in refused("evaluate", detector_model, tiny_set, "--metrics", "pixels")
