"""Upsampled sets below the command line: whose poses, whose looks, and that the check drops what does not
show its pose."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.data.hands import DataSpec
from handvae.data.mixture import Mixture
from handvae.data.readers.coco import CocoHands
from handvae.data.subset import Subset
from handvae.errors import UserError
from handvae.evaluation.detection import Detections, HandDetector
from handvae.evaluation.features import Extractor
from handvae.hand import JOINT_NAMES
from handvae.noise import Noise
from handvae.reproduction.downstream import downstream
from handvae.systems.detector import DetectorConfig
from handvae.systems.srv_vae import SrvVae
from handvae.training.checkpoint import load_model
from handvae.training.presets import find_preset
from handvae.upsampling.appearances import (
    Appearances,
    AppearancesOfOthers,
    FixedAppearance,
    RandomAppearances,
)
from handvae.upsampling.plan import SHARD_PICTURES, UpsamplePlan, begin, missing_shards
from handvae.upsampling.report import summarise
from handvae.upsampling.shards import GeneratedSet, write_shards
from handvae.upsampling.upsample import Upsampler

PLAN = UpsamplePlan("tiny", "train", 32, 60, ("same",), "random", "tiny", "dots", 0.08, 0)


class DotDetector(HandDetector):
    """Reads the joints that `Painter` hides in the first pixels of its pictures."""

    def detect(self, pictures, crop):
        read = torch.cat([picture[:, :, 0, :21] for picture in pictures])
        return Detections(read[:, :2].mT * crop.size_px, read[:, 2].amax(1) > 0)

    def relation(self, model):
        return "detector dots"


@dataclass(frozen=True)
class Fault:
    """What a painter does wrong, in the hands of these places of every batch."""

    places: tuple[int, ...] = ()
    shift: float = 0.0
    blank: bool = False


class Painter(SrvVae):
    """A generator whose pictures hold their joints in the first row, some of them wrong."""

    fault = Fault()

    def synthesize(self, joints, appearance):
        pictures = torch.zeros(len(joints), 3, 32, 32)
        pictures[:, :2, 0, :21] = (joints.mT + 1) / 2
        pictures[:, 2, 0, :21] = 1
        for place in self.fault.places:
            pictures[place, :2, 0, :21] += self.fault.shift
            if self.fault.blank:
                pictures[place] = 0
        return pictures


@pytest.fixture
def data(tiny_set: Path) -> CocoHands:
    return CocoHands(tiny_set, "train")


@pytest.fixture
def painter(tiny_model: Path, tiny_config, tiny_spec: DataSpec) -> Painter:
    system = Painter(tiny_config, tiny_spec, Crop(32))
    system.load_state_dict(load_model(tiny_model).system.state_dict())
    return system.eval()


def maker(
    painter: Painter, data: CocoHands, plan: UpsamplePlan = PLAN, appearances: Appearances | None = None
) -> Upsampler:
    return Upsampler.of(plan, painter, DotDetector(), appearances or RandomAppearances(painter), data)


def made_of(folder: Path, upsampler: Upsampler) -> GeneratedSet:
    begin(folder, upsampler.plan)
    write_shards(folder, upsampler, 0, 1, lambda pictures: None)
    return GeneratedSet.of(folder)


# --------------------------------------------------------------------------------------------- ---- the check


def test_a_sound_generator_passes_with_the_error_of_eight_bits(painter, data, tmp_path):
    made = made_of(tmp_path, maker(painter, data))
    assert made.kept.tolist() == list(range(60))
    assert made.error.max() < 0.01


def test_pictures_of_a_broken_generator_are_dropped_and_no_others(painter, data, tmp_path):
    painter.fault = Fault((3, 11), shift=0.2)
    made = made_of(tmp_path, maker(painter, data))
    assert sorted(made.dropped.tolist()) == [3, 11]
    assert len(made.kept) == 58
    assert (made.error[[3, 11]] > 0.2).all()


def test_a_picture_without_a_hand_is_dropped_and_comes_first_among_the_worst(painter, data, tmp_path):
    painter.fault = Fault((7,), blank=True)
    made = made_of(tmp_path, maker(painter, data))
    assert made.dropped.tolist() == [7]
    assert torch.isnan(made.error[7])
    assert json.loads(made.data.provenance_of(7))["check_error"] is None


def test_the_limit_is_the_plans(painter, data, tmp_path):
    painter.fault = Fault((2,), shift=0.2)
    strict, lax = (
        made_of(tmp_path / str(limit), maker(painter, data, replace(PLAN, max_error=limit)))
        for limit in (1e-5, 5.0)
    )
    assert not len(strict.kept)
    assert len(lax.kept) == 60


def test_label_spread_is_how_far_the_detector_lies_from_the_label(painter, data, tmp_path):
    painter.fault = Fault((4,), shift=0.25)
    spread = made_of(tmp_path, maker(painter, data)).data.labels(torch.tensor([3, 4])).joint_spread
    assert spread is not None
    assert spread[0].max() < 0.2
    torch.testing.assert_close(
        spread[1], torch.full((21,), 8.0), atol=0.2, rtol=0
    )  # (8, 8) px, one standard deviation a coordinate


def test_the_report_counts_what_was_dropped_and_reads_the_real_pictures_too(painter, data, tmp_path):
    painter.fault = Fault((3, 11), shift=0.2)
    upsampler = maker(painter, data)
    looked = DarkFeatures()
    found = {m.name: m for m in summarise(upsampler, made_of(tmp_path, upsampler), looked).measures}
    assert found["pictures_asked"].value == 60
    assert found["pictures_kept"].value == 58
    assert found["pictures_dropped"].value == 2
    assert found["share_kept"].value == pytest.approx(100 * 58 / 60)
    assert found["consistency_kept_error_median"].value < found["consistency_asked_error_mean"].value
    assert found["consistency_real_found"].n == 32
    assert found["fd_hand_kept"].n == 32  # as many of the one as of the other
    assert found["fd_hand_kept"].value > 0
    assert (found["fd_hand_real_halves"].n, found["fd_hand_kept_half"].n) == (16, 16)
    assert 0 < found["fd_hand_real_halves"].value < found["fd_hand_kept_half"].value
    assert "other half" in str(found["fd_hand_real_halves"].protocol)


class DarkFeatures(Extractor):
    """Mean colours as features."""

    name, space, dim, size_px = "mean colours", "hand", 3, 32

    def __call__(self, images):
        return images.mean((2, 3))


# ------------------------------------------------------------------------------------ whose pose, whose looks


def test_every_copy_of_the_set_has_each_pose_once(painter, data, tmp_path):
    made = made_of(tmp_path, maker(painter, data, replace(PLAN, count=64)))
    hands = [json.loads(made.data.provenance_of(row))["pose"]["hand"] for row in range(64)]
    assert sorted(hands[:32]) == sorted(hands[32:]) == sorted(data.file_names)
    assert hands[:32] != hands[32:]


def test_copies_take_the_kinds_of_poses_in_turn(painter, data, tmp_path):
    made = made_of(tmp_path, maker(painter, data, replace(PLAN, poses=("same", "perturbed"))))
    assert made.kinds == ("same",) * 32 + ("perturbed",) * 28


def test_perturbed_poses_are_what_the_pictures_show(painter, data, tmp_path):
    made = made_of(tmp_path, maker(painter, data, replace(PLAN, poses=("perturbed",))))
    assert made.error.max() < 0.01
    joints = made.data.labels(torch.arange(60)).require("joints_2d")
    assert joints.min() >= 0
    assert joints.max() <= 32


def test_interpolated_poses_name_both_hands(painter, data, tmp_path):
    made = made_of(tmp_path, maker(painter, data, replace(PLAN, poses=("interpolated",))))
    stories = [json.loads(made.data.provenance_of(row))["pose"] for row in range(60)]
    mixed = [story for story in stories if story["kind"] == "interpolated"]
    assert len(mixed) > 30
    assert all(
        story["with"] in data.file_names and story["with"] != story["hand"] and 0 < story["share"] < 1
        for story in mixed
    )


def test_left_hands_stay_left_hands(painter, small_set, tmp_path):
    """A generator of right hands draws a left hand as its mirror image; what is written is the left hand."""

    def turn(content):
        content["annotations"][0]["hand_side"] = "left"
        content["annotations"][0].pop("keypoints_3d")
        for other in content["annotations"][1:]:
            other.pop("keypoints_3d")

    data = CocoHands(small_set(turn))
    painter.crop = Crop(32, sides="right")
    plan = replace(PLAN, hands=3, count=3, split="")
    made = made_of(
        tmp_path / "parts", Upsampler.of(plan, painter, DotDetector(), RandomAppearances(painter), data)
    )
    order = [json.loads(made.data.provenance_of(row))["pose"]["hand"] for row in range(3)]
    left = order.index(data.file_names[0])
    labels = made.data.labels(torch.arange(3))
    assert labels.side is not None
    assert labels.side[left] == 0
    assert labels.joints_2d is not None
    assert made.error.max() < 0.01
    hidden = (
        made.data.picture(left)[0, ::-1][:21, :2] / 255 * 32
    )  # the row that holds the joints, mirrored back
    drawn = np.stack([32 - hidden[:, 0], hidden[:, 1]], 1)
    np.testing.assert_allclose(drawn, labels.joints_2d[left].numpy(), atol=0.2)


def test_looks_of_others_are_never_the_same_persons(painter, data):
    rows = torch.arange(32)
    drawn = AppearancesOfOthers(painter, data).draw(rows, Noise(1))
    people = data.labels(rows).subject
    assert people is not None
    assert drawn.people is not None
    assert (torch.tensor(drawn.people) != people).all()
    assert len(set(drawn.people)) == 4


def test_looks_of_others_in_a_set_without_people_are_another_hands(painter, small_set):
    data = CocoHands(small_set(lambda content: [picture.pop("person") for picture in content["images"]]))
    drawn = AppearancesOfOthers(painter, data).draw(torch.arange(3), Noise(1))
    assert drawn.people is None
    assert all(name != f"hand {data.name(row)}" for row, name in enumerate(drawn.names))


def test_who_is_in_a_picture_is_whose_looks_it_has(painter, data, tmp_path):
    random = made_of(tmp_path / "a", maker(painter, data)).data.labels(torch.arange(60)).subject
    others = made_of(tmp_path / "b", maker(painter, data, appearances=AppearancesOfOthers(painter, data)))
    assert random is not None
    assert random.unique().shape == (60,)
    assert (random < 0).all()
    told = [json.loads(others.data.provenance_of(row))["appearance"]["person"] for row in range(60)]
    assert others.data.labels(torch.arange(60)).require("subject").tolist() == told


def test_fixed_looks_are_the_same_for_all(painter):
    drawn = FixedAppearance(torch.ones(1, 4), "one").draw(torch.arange(5), Noise(0))
    assert torch.equal(drawn.appearance, torch.ones(5, 4))


# ---------------------------------------------------------------------------------------------- ------- parts


def test_a_part_does_not_depend_on_the_others(painter, data, tmp_path):
    plan = replace(PLAN, count=2 * SHARD_PICTURES + 40, poses=("same", "interpolated", "perturbed"))
    begin(tmp_path / "all", plan)
    begin(tmp_path / "some", plan)
    assert (
        write_shards(tmp_path / "all", maker(painter, data, plan), 0, 1, lambda pictures: None) == plan.count
    )
    assert (
        write_shards(tmp_path / "some", maker(painter, data, plan), 1, 3, lambda pictures: None)
        == SHARD_PICTURES
    )
    assert missing_shards(tmp_path / "some", plan) == 2
    name = "shard-00001.parquet"
    assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "some" / name).read_bytes()


def test_work_of_other_options_is_not_gone_on_with(tmp_path):
    begin(tmp_path, PLAN)
    begin(tmp_path, PLAN)
    with pytest.raises(UserError, match="other options"):
        begin(tmp_path, replace(PLAN, seed=1))


def test_a_model_that_reads_3d_poses_needs_them(painter, small_set):
    data = CocoHands(small_set(lambda content: [hand.pop("keypoints_3d") for hand in content["annotations"]]))
    painter.pose = "3d"
    with pytest.raises(UserError, match="2D poses only"):
        maker(painter, data)


# ------------------------------------------------------------------------------------------ what they are for


def test_new_pictures_mix_with_real_ones_whose_joint_0_is_the_palm(painter, data, tmp_path):
    data.spec = replace(data.spec, joint_names=("palm", *JOINT_NAMES[1:]))
    made = made_of(tmp_path, maker(painter, data))
    assert Mixture([data, made.data]).spec.joint_names[0] == "palm"


def test_a_subset_is_the_chosen_hands(data):
    some = Subset(data, [5, 2])
    assert len(some) == some.spec.count == 2
    assert torch.equal(
        some.labels(torch.tensor([1])).require("joints_2d"),
        data.labels(torch.tensor([2])).require("joints_2d"),
    )
    assert np.array_equal(some.picture(0), data.picture(5))
    assert some.name(0) == data.name(5)


def test_the_downstream_gain_is_of_equal_steps_and_all_seeds(
    data, tiny_set, tmp_path, unchecked, monkeypatch
):
    preset = find_preset("detector-64")
    small = replace(
        preset, system=DetectorConfig(widths=(4, 8), heatmap_levels=1, norm="group"), crop=Crop(16)
    )
    for module in ("downstream", "recipe"):
        monkeypatch.setattr(
            f"handvae.reproduction.{module}.find_preset",
            lambda name: replace(small, train=replace(small.train, batch=8)),
        )
    test = CocoHands(tiny_set, "test")
    then_real = {
        m.name: m for m in downstream(Subset(data, range(8)), data, test, tmp_path, [0], 10, "mix-then-real")
    }
    runs = {
        name: json.loads((tmp_path / "real_and_new_then_real-0" / name / "config.json").read_text())
        for name in ("mix", "then-real")
    }
    assert [run["train"]["steps"] for run in runs.values()] == [5, 5]
    assert (
        str(then_real["downstream_error_real_and_new_then_real"].protocol).count("then real ones alone") == 1
    )
    found = {m.name: m for m in downstream(Subset(data, range(8)), data, test, tmp_path, [0, 1], 10)}
    real, both, gain = (found[f"downstream_{name}"] for name in ("error_real", "error_real_and_new", "gain"))
    assert 0 < both.value != real.value > 0
    assert "trained 10 steps of 8 on 8 real pictures" in str(real.protocol)
    assert f"on 8 and {len(data)} real and new pictures" in str(both.protocol)
    assert real.n == both.n == 16
    each = [[float(value) for value in m.definition.split("; ")[1].split(", ")] for m in (real, both)]
    gains = [100 * (1 - b / a) for a, b in zip(*each, strict=True)]
    assert gain.value == pytest.approx(sum(gains) / 2, abs=0.1)
