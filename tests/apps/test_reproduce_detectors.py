"""`handvae reproduce srv-vae-table4`: who sees which pictures, for how long, and what is made of the
numbers."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.readers.coco import CocoHands
from handvae.evaluation.detection import ModelDetector
from handvae.evaluation.features import SHIPPED
from handvae.reproduction.detector_table import LAPTOP, Augmentation, DetectorTable
from handvae.reproduction.downstream import hand_errors
from handvae.reproduction.experiment import TrainingPlan
from handvae.reproduction.papers import TABLES
from handvae.reproduction.report import markdown
from handvae.reproduction.srv_vae import INTERHAND
from handvae.systems.keypoint_vit import KeypointVitConfig
from handvae.training.checkpoint import load_model
from handvae.training.distributed import Ranks
from handvae.training.presets import PRESETS

TABLE = TABLES["srv-vae-table4"]
ROWS = ["ViT, original", "ViT, augmented: mix", "ViT, augmented: mix, then real"]
VIT = replace(
    PRESETS["keypoint-vit-64"],
    system=KeypointVitConfig(patch_px=8, width=16, depth=1, heads=2, mlp_ratio=1),
    crop=Crop(32),
)
SMALL = {
    "keypoint-vit-64": replace(VIT, train=replace(VIT.train, batch=8)),
    "keypoint-vit-3d": replace(VIT, system=replace(VIT.system, pose="3d"), train=replace(VIT.train, batch=8)),
    "photos-base-64": replace(
        PRESETS["photos-base-64"],
        system=replace(
            PRESETS["photos-base-64"].system,
            appearance_dims=4, encoder_widths=(8, 8, 8, 8), decoder_widths=(8, 8, 8, 8),
            encoder_hidden=16, decoder_hidden=16,
        ),
        crop=Crop(32),
        train=replace(PRESETS["photos-base-64"].train, batch=8),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tiny_set, tmp_path_factory) -> Path:
    """A finished table 4 of ten real pictures and two seeds. Not to be changed."""
    from handvae.apps.cli import main

    out = tmp_path_factory.mktemp("table4") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("handvae.reproduction.recipe.find_preset", SMALL.__getitem__)
        assert main([str(word) for word in words(tiny_set, out)]) == 0
    return out


@pytest.fixture
def small(monkeypatch) -> None:
    monkeypatch.setattr("handvae.reproduction.recipe.find_preset", SMALL.__getitem__)


def words(data: Path, out: Path, *more: object) -> list[object]:
    sizes = ("--real", 10, "--steps", 5, "--seeds", 2, "--generator-steps", 2)
    return ["reproduce", "srv-vae-table4", "--data", data, "--out", out, *sizes, *more]


def report(out: Path) -> dict:
    return json.loads((out / "laptop" / "srv-vae-table4" / "report.json").read_text())


def runs(out: Path) -> dict[str, dict]:
    """Options of every training, by the folder's name without its tag."""
    found = sorted((out / "laptop" / "runs").rglob("config.json"))
    return {
        str(path.parent.relative_to(out / "laptop" / "runs")): json.loads(path.read_text()) for path in found
    }


def test_the_papers_rows_stand_beside_ours(finished):
    text = (finished / "laptop" / "srv-vae-table4" / "table.md").read_text()
    found = report(finished)
    assert [row["name"] for row in found["rows"]] == ROWS
    for row, paper in zip(found["rows"], ("11.74", "10.59", "-"), strict=True):
        line = next(line for line in text.splitlines() if line.startswith(f"| {row['name']} |"))
        assert line.split("|")[2].strip() == paper
        assert row["measures"]["mpjpe_px"]["n"] == 16
    assert "| ViT, original, 3D | 11.51 | - |" in text
    for said in (
        "10 of the 32 training hands",
        "generator trained on these real pictures alone",
        "test: 16 hands",
        "5 steps of 8",
    ):
        assert said in text, said


def test_the_error_is_that_of_the_kept_models_by_hand(finished, tiny_set, small):
    test, row = CocoHands(tiny_set, "test"), report(finished)["rows"][1]
    for folder, percent, px in zip(
        row["runs"], *(row["measures"][name]["values"] for name in ("mpjpe_percent", "mpjpe_px")), strict=True
    ):
        reader = load_model(Path(folder)).pose_estimator
        assert percent == pytest.approx(float(hand_errors(reader, test).mean()), rel=1e-5)
        # the drawn hands' pictures are larger than the crop by the side of its box
        labels = test.labels(torch.arange(16)).require("joints_2d")
        size = (labels.amax(1) - labels.amin(1)).prod(1).sqrt()
        assert px == pytest.approx(float((hand_errors(reader, test) / 100 * size).mean()), rel=0.02)


def test_all_rows_take_the_same_number_of_steps(finished):
    steps = {
        name: config["train"]["steps"] for name, config in runs(finished).items() if name.startswith("vit")
    }
    halves = {name: count for name, count in steps.items() if "mix-then-real" in name}
    assert sorted(halves.values()) == [2, 2, 3, 3]
    assert {count for name, count in steps.items() if name not in halves} == {5}


def test_the_own_generator_and_every_row_see_the_same_few_real_pictures(finished, tiny_set):
    """No more hands than --real go into any training, and none of the test split."""
    counts = {name: config["data"]["count"] for name, config in runs(finished).items()}
    assert {count for name, count in counts.items() if name.startswith(("generator", "vit-original"))} == {10}
    assert {
        count
        for name, count in counts.items()
        if name.startswith("vit-augmented") and "then-real/then-real" not in name
    } - {30} == {10}
    work = table(tiny_set, finished)
    first, again, other = (work.real(seed) for seed in (0, 0, 1))
    assert [first.name(row) for row in range(10)] == [again.name(row) for row in range(10)]
    assert {first.name(row) for row in range(10)} != {other.name(row) for row in range(10)}
    assert all(first.split_of(row) == "train" for row in range(10))


def table(data: Path, out: Path) -> DetectorTable:
    rows = tuple(TABLE.rows_at("laptop"))
    plan = TrainingPlan(TABLE, "laptop", rows, (0, 1), 5, out / "laptop", Ranks())
    augmentation = Augmentation(10, 2, ("same",), "dataset", LAPTOP.generator, 2)
    return DetectorTable(
        plan,
        CocoHands(data, "train"),
        CocoHands(data, "test"),
        augmentation,
        ModelDetector.of(load_model(SHIPPED)),
    )


def test_the_gain_is_paired_by_seed(finished):
    found = report(finished)["rows"]
    errors = [np.array(row["measures"]["mpjpe_percent"]["values"]) for row in found]
    text = (finished / "laptop" / "srv-vae-table4" / "table.md").read_text()
    for name, mixed in zip(ROWS[1:], errors[1:], strict=True):
        gains = 100 * (1 - mixed / errors[0])
        line = next(line for line in text.splitlines() if line.startswith(f"- {name} against {ROWS[0]}"))
        assert f"{abs(gains.mean()):.1f} % {'less' if gains.mean() >= 0 else 'more'} error" in line
        assert f"(gain by seed {gains[0]:.1f}, {gains[1]:.1f})" in line
        assert "95 % interval" in line


def test_a_killed_one_goes_on_with_the_same_numbers(handvae, tiny_set, tmp_path, small):
    """Killed between the halves of a training."""
    asked = words(tiny_set, tmp_path, "--seeds", 1, "--rows", ROWS[0], ROWS[2])
    assert handvae(*asked)[0] == 0
    was = report(tmp_path)
    (folder,) = (tmp_path / "laptop" / "runs").glob("vit-augmented-mix-then-real-*")
    shutil.rmtree(folder / "then-real")
    code, said, error = handvae(*asked)
    assert code == 0, error
    assert said.count("step 2/2") == 1
    assert report(tmp_path) == was


def test_other_new_pictures_are_another_training_of_the_rows_that_see_them(
    finished, handvae, tiny_set, tiny_model, tmp_path, small
):
    shutil.copytree(finished, tmp_path / "out")
    more = ("--generator", tiny_model, "--seeds", 1, "--rows", *ROWS[:2])
    code, said, error = handvae(*words(tiny_set, tmp_path / "out", *more))
    assert code == 0, error
    assert said.count("step 5/5") == 1  # the row of real pictures is there
    assert "which may have seen other people" in said


def test_the_3d_rows_of_full_scale_are_measured_in_mm(tiny_set, tmp_path, small):
    rows = tuple(TABLE.rows_at("full", INTERHAND))
    work = replace(
        table(tiny_set, tmp_path), plan=TrainingPlan(TABLE, "full", rows, (0,), 3, tmp_path, Ranks())
    )
    results = list(work.results())
    text = markdown(work, results)
    for row, result in zip(
        ("ViT, original, 3D | 11.51", "ViT, augmented: mix, 3D | 11.73"), results, strict=True
    ):
        (error,) = [measure for measure in result.measures if measure.name == "mpjpe_mm"]
        assert f"| {row} | {error.value:.4g} |" in text
        assert 5 < error.value < 200
        low, high = (
            next(m.value for m in result.measures if m.name == f"mpjpe_mm_{end}") for end in ("low", "high")
        )
        assert low < error.value < high
    assert "mm, 95 % interval" in text


def test_wrong_numbers_are_refused(refused, tiny_set):
    assert "--real" in refused(*words(tiny_set, Path("out"), "--real", 0))
    assert "--hold-out" in refused(*words(tiny_set, Path("out"), "--hold-out", "fist"))
