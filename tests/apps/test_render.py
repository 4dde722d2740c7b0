"""`handvae render`: data sets, sheets, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image

from handvae.data.open import open_data


def test_a_data_set_and_its_sheet(handvae, tmp_path):
    out = tmp_path / "set"
    handvae(
        "render",
        "-n",
        "10",
        "--size",
        "32",
        "--test",
        "2",
        "--out",
        str(out),
        "--workers",
        "1",
        "--ranges.camera.left",
        "1",
    )
    data = open_data(out)
    assert len(data) == 10
    assert data.spec.size_px == 32
    assert (data.labels(torch.arange(10)).side == 0).all()
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.size == (8 * 34 - 2, 2 * 34 - 2)
    code, said, _ = handvae(
        "render",
        "-n",
        "10",
        "--size",
        "32",
        "--test",
        "2",
        "--out",
        str(out),
        "--workers",
        "1",
        "--ranges.camera.left",
        "1",
    )
    assert code == 0
    assert "0 hands drawn" in said


def test_a_sheet_of_one_pose(handvae, tmp_path):
    sheet = tmp_path / "sheet.png"
    handvae("render", "--pose", "victory", "--view", "3", "--size", "48", "--out", str(sheet))
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (48, 3 * 50 - 2, 3)
    assert pixels.std() > 20


def test_a_plan_only(handvae, tmp_path):
    handvae("render", "-n", "5", "--out", str(tmp_path / "set"), "--plan-only")
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["plan.json"]
    assert len(open_data(tmp_path / "set")) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-n", "0"], "-n"),
        (["--size", "4"], "--size"),
        (["--shard", "2/2"], "--shard"),
        (["--shard", "one"], "--shard"),
        (["-n", "5", "--test", "6"], "--test"),
        (["--seed", "-1"], "--seed"),
        (["--cloud", "-1"], "--cloud"),
        (["--workers", "0"], "--workers"),
        (["--preset", "rendered-20k", "--seed", "4"], "--preset"),
        (["--pose", "victory"], "png"),
        (["--pose", "victory", "-n", "5"], "-n: is for a data set"),
        (["--pose", "victory", "--plan-only"], "--plan-only: is for a data set"),
        (["--pose", "victory", "--ranges.hidden", "0"], "--ranges: is for a data set"),
        (["--view", "3"], "--view: is for a sheet"),
        (["-n", "5", "--side", "left"], "--side: is for a sheet"),
        (["--ranges.per-content", "0"], "per"),
    ],
)
def test_what_it_refuses(refused, tmp_path, arguments, said):
    assert said in refused("render", *arguments, "--out", str(tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_unknown_pose(refused, tmp_path):
    assert "victory" in refused("render", "--pose", "victorious", "--out", str(tmp_path / "a.png"))
    assert "--view" in refused("render", "--pose", "victory", "--view", "0", "--out", str(tmp_path / "a.png"))
