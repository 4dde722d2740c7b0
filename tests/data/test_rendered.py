"""Rendered data sets: a plan is the data set, drawn on demand or written to shards, by any number of workers,
again and again."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop, cut
from handvae.data.open import open_data
from handvae.data.readers import rendered
from handvae.data.readers.rendered import (
    PLAN_FILE,
    PLANS,
    RenderedHands,
    RenderPlan,
    read_plan,
    shard_files,
    write_plan,
    write_rendered,
)
from handvae.errors import UserError
from handvae.files import file_digest
from handvae.hand import SEGMENTATION_CLASSES
from handvae.render.picture import FACTORS, SHAPE_FACTORS
from handvae.render.scene import SceneRanges

PLAN = RenderPlan(24, seed=2, size_px=32, test=8, cloud=16)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(rendered, "SHARD_HANDS", 8)


def digests(folder):
    return {path.name: file_digest(path) for path in sorted(folder.glob("*.parquet"))}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered") / "set"
    before, rendered.SHARD_HANDS = rendered.SHARD_HANDS, 8
    write_plan(folder, PLAN)
    assert write_rendered(folder, PLAN) == 24
    rendered.SHARD_HANDS = before
    return folder


def test_two_workers_write_the_same_bytes(written, tmp_path):
    write_plan(tmp_path / "two", PLAN)
    assert write_rendered(tmp_path / "two", PLAN, workers=2) == 24
    assert digests(tmp_path / "two") == digests(written)


def test_shares_of_the_work_make_the_whole(written, tmp_path):
    folder = tmp_path / "shared"
    write_plan(folder, PLAN)
    assert write_rendered(folder, PLAN, 1, 2) == 8
    assert write_rendered(folder, PLAN, 0, 2) == 16
    assert digests(folder) == digests(written)


def test_what_is_there_is_not_drawn_again(written, tmp_path):
    folder = tmp_path / "killed"
    write_plan(folder, PLAN)
    write_rendered(folder, PLAN)
    lost = shard_files(folder, PLAN)[1][0]
    lost.unlink()
    (folder / f".{lost.name}.partial").write_bytes(b"half")
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.parquet")}
    seen = []
    assert write_rendered(folder, PLAN, report=seen.append) == 8
    assert sum(seen) == 24
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert digests(folder) == digests(written)
    assert not list(folder.glob(".*"))


def test_shards_hold_what_is_drawn_on_demand(written):
    stored, drawn = open_data(written), RenderedHands(PLAN)
    assert stored.spec == drawn.spec
    rows = torch.tensor([0, 5, 17, 23])
    one, two = stored.labels(rows), drawn.labels(rows)
    assert {name for name, _ in one.items()} == {name for name, _ in two.items()}
    for name, value in one.items():
        torch.testing.assert_close(value, getattr(two, name), check_dtype=False)
    for row in rows.tolist():
        np.testing.assert_array_equal(stored.picture(row), drawn.picture(row))
        np.testing.assert_array_equal(stored.segmentation(row), drawn.segmentation(row))
        np.testing.assert_allclose(stored.depth(row), drawn.depth(row), atol=0.051)


def test_every_label_is_there_and_cuts(written):
    data = open_data(written, "train")
    hands = cut(data, torch.arange(4), Crop(size_px=32), fields=("image", "depth", "segmentation", "mask"))
    for name in data.spec.modalities:
        assert getattr(hands, name) is not None, name
    assert hands.factors.shape == (4, len(FACTORS))
    assert ((hands.mask > 0) == (hands.segmentation >= SEGMENTATION_CLASSES.index("palm"))).all()
    assert (hands.depth[hands.mask > 0] > 100).float().mean() > 0.95


def test_test_hands_are_of_other_people_in_other_poses(written):
    train, test = (open_data(written, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (16, 8)
    one, two = train.labels(torch.arange(16)), test.labels(torch.arange(8))
    assert not set(one.subject.tolist()) & set(two.subject.tolist())
    shapes = [set(map(tuple, hands.factors[:, SHAPE_FACTORS].tolist())) for hands in (one, two)]
    assert not shapes[0] & shapes[1]
    gaps = torch.cdist(two.canonical.flatten(1), one.canonical.flatten(1))
    assert (gaps.amin(1) > 0.1).all()


def test_the_cloud_lies_on_the_hand():
    picture = PLAN.picture(0)
    cloud = PLAN.sample(0).cloud
    pixels = cloud[:, :2] / cloud[:, 2:] * picture.intrinsics[0, 0] + picture.intrinsics[0, 2]
    column, row = np.floor(pixels).astype(int).T
    assert (picture.segmentation[row, column] >= SEGMENTATION_CLASSES.index("palm")).all()
    np.testing.assert_allclose(picture.depth[row, column], cloud[:, 2], atol=1e-3)


def test_no_hand_no_cloud():
    picture = PLAN.picture(0)
    empty = replace(picture, segmentation=np.zeros_like(picture.segmentation))
    assert not rendered.surface_cloud(empty, 5, np.random.default_rng(0)).any()


def test_a_plan_alone_opens_as_a_data_set(tmp_path):
    write_plan(tmp_path / "lazy", PLAN)
    data = open_data(tmp_path / "lazy", "test")
    assert isinstance(data, RenderedHands)
    assert len(data) == 8
    assert data.picture(0).shape == (32, 32, 3)
    assert data.split_of(0) == "test"


def test_a_plan_survives_its_file(tmp_path):
    plan = replace(PLAN, quality="reference", ranges=SceneRanges(shape=0.5, hidden=0.3))
    write_plan(tmp_path / "set", plan)
    assert read_plan(tmp_path / "set" / PLAN_FILE) == plan
    write_plan(tmp_path / "set", plan)  # the same again is no fault


def test_another_plan_does_not_mix_in(tmp_path):
    write_plan(tmp_path / "set", PLAN)
    with pytest.raises(UserError, match="another data set"):
        write_plan(tmp_path / "set", replace(PLAN, seed=3))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="already exists"):
        write_plan(tmp_path / "mine", PLAN)


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", 0), ("count", "many"), ("quality", "best"), ("size_px", 10**6), ("nonsense", 1), ("test", 25)],
)
def test_bad_plans_are_refused(tmp_path, field, value):
    write_plan(tmp_path / "set", PLAN)
    path = tmp_path / "set" / PLAN_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(UserError, match=r"plan\.json"):
        read_plan(path)


def test_unknown_split():
    with pytest.raises(UserError, match="train and test"):
        RenderedHands(PLAN, "validation")


def test_the_named_plan():
    plan = PLANS["rendered-20k"]
    assert (plan.count, plan.test, plan.size_px) == (20_000, 2_000, 64)
