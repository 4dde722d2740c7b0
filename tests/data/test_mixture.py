"""Data sets mixed: which hands, how often, with which labels, and the same batch for the same seed and
step."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.data.loader import Loader
from handvae.data.mixture import Mixture, open_training_data
from handvae.data.open import DataOptions
from handvae.data.readers.coco import CocoHands
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.training.checkpoint import load_model


class Made(HandData):
    """Hands whose first joint lies at (set, row), whose picture's first pixel is that too."""

    def __init__(self, number: int, count: int, **changes: object) -> None:
        self.number, self.extra = (
            number,
            {name: value for name, value in changes.items() if isinstance(value, torch.Tensor)},
        )
        spec = DataSpec(
            f"set{number}", count, 0, ("image", "joints_2d", "joint_valid", "side", *self.extra), "right"
        )
        self.spec = replace(
            spec, **{name: value for name, value in changes.items() if name not in self.extra}
        )

    def __len__(self) -> int:
        return self.spec.count

    def labels(self, rows):
        joints = torch.zeros(len(rows), 21, 2)
        joints[:, 0, 0], joints[:, 0, 1] = self.number, rows.float()
        own = {name: value[rows] for name, value in self.extra.items()}
        return Hands(
            joints_2d=joints,
            joint_valid=torch.ones(len(rows), 21, dtype=torch.bool),
            side=torch.full((len(rows),), RIGHT),
            **own,
        )

    def picture(self, row):
        return np.array([[[self.number, row, 0]]], np.uint8)

    def segmentation(self, row):
        return np.full((1, 1), self.number, np.uint8)


def origins(data: HandData, rows: torch.Tensor) -> list[tuple[int, int]]:
    """Set and row that each row of a mixture comes from, by its label."""
    first = data.labels(rows).joints_2d[:, 0]
    return [(int(number), int(row)) for number, row in first.tolist()]


# ------------------------------------------------------------------------------------- which hands, how often


def test_without_shares_every_hand_is_there_once():
    mixed = Mixture([Made(0, 3), Made(1, 5)])
    assert origins(mixed, torch.arange(len(mixed))) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 4),
    ]


@given(st.lists(st.tuples(st.integers(1, 30), st.floats(0.05, 20)), min_size=1, max_size=4))
def test_an_epoch_holds_the_shares_and_every_hand_and_is_no_longer_than_it_must(parts):
    sizes, shares = [size for size, _ in parts], [share for _, share in parts]
    mixed = Mixture([Made(number, size) for number, size in enumerate(sizes)], shares)
    seen = Counter(origins(mixed, torch.arange(len(mixed))))
    assert set(seen) == {(number, row) for number, size in enumerate(sizes) for row in range(size)}
    for number, (size, share) in enumerate(parts):
        own = [times for (which, _), times in seen.items() if which == number]
        assert max(own) - min(own) <= 1
        assert sum(own) == pytest.approx(len(mixed) * share / sum(shares), abs=len(parts))
        assert sum(own) >= size
    assert any(count == size for count, size in zip(mixed.counts, sizes, strict=True))


def test_a_picture_belongs_to_its_labels():
    mixed = Mixture(
        [Made(0, 3, modalities=("image", "segmentation")), Made(1, 5, modalities=("image", "segmentation"))],
        [0.75, 0.25],
    )
    for row, (number, inner) in enumerate(origins(mixed, torch.arange(len(mixed)))):
        assert mixed.picture(row)[0, 0].tolist() == [number, inner, 0]
        assert mixed.segmentation(row).item() == number
        assert mixed.name(row) == f"set{number}: row {inner}"


def test_rows_come_in_the_order_they_are_asked_for():
    mixed = Mixture([Made(0, 3), Made(1, 5)])
    assert origins(mixed, torch.tensor([7, 0, 4, 0])) == [(1, 4), (0, 0), (1, 1), (0, 0)]
    assert len(mixed.labels(torch.empty(0, dtype=torch.long))) == 0


# --------------------------------------------------------------------------------------------- ------- labels


def test_labels_that_one_set_lacks_are_left_out():
    mixed = Mixture(
        [Made(0, 3, subject=torch.arange(3), scale_mm=torch.ones(3)), Made(1, 5, subject=torch.arange(5))]
    )
    assert {name for name, _ in mixed.labels(torch.tensor([0, 4])).items()} == {
        "joints_2d",
        "joint_valid",
        "side",
        "subject",
    }
    assert mixed.spec.modalities == ("image", "joints_2d", "joint_valid", "side", "subject")


def test_missing_joints_stay_missing_beside_a_set_that_misses_none():
    class Whole(Made):
        def labels(self, rows):
            return replace(super().labels(rows), joint_valid=None)

    class Gaps(Made):
        def labels(self, rows):
            return replace(super().labels(rows), joint_valid=torch.arange(21).repeat(len(rows), 1) != 4)

    valid = Mixture([Whole(0, 2), Gaps(1, 2)]).labels(torch.tensor([0, 2])).joint_valid
    assert valid[0].all()
    assert valid[1].tolist() == [joint != 4 for joint in range(21)]


def test_clouds_of_other_sizes_and_factors_of_other_meaning_do_not_mix():
    a = Made(0, 3, cloud=torch.zeros(3, 100, 3), factors=torch.zeros(3, 2))
    b = Made(1, 3, cloud=torch.zeros(3, 200, 3), factors=torch.zeros(3, 2))
    a.spec, b.spec = replace(a.spec, factors=("light", "skin")), replace(b.spec, factors=("skin", "light"))
    mixed = Mixture([a, b])
    assert not {"cloud", "factors"} & set(mixed.spec.modalities)
    assert mixed.spec.factors == ()
    assert mixed.labels(torch.tensor([0])).factors is None
    again = Mixture([a, a])
    assert again.spec.factors == ("light", "skin")
    assert {"cloud", "factors"} <= set(again.spec.modalities)


@pytest.mark.parametrize("name", ["subject", "content"])
def test_no_two_sets_share_a_person_or_a_background(name):
    numbers = torch.tensor([7, 7, -(2**62)]), torch.tensor([7, 3, 2**62, 3])
    mixed = Mixture([Made(0, 3, **{name: numbers[0]}), Made(1, 4, **{name: numbers[1]})], [1, 1])
    found = getattr(mixed.labels(torch.arange(len(mixed))), name)
    pairs = {
        (origin[0], int(numbers[origin[0]][origin[1]])): int(new)
        for origin, new in zip(origins(mixed, torch.arange(8)), found, strict=True)
    }
    assert len(pairs) == len(set(pairs.values())) == 5  # the same person keeps one number, two have two


def test_gestures_go_by_their_names():
    a = Made(0, 2, gesture=torch.tensor([0, 1]))
    b = Made(1, 3, gesture=torch.tensor([0, 1, 2]))
    a.spec, b.spec = (
        replace(a.spec, gestures=("fist", "open")),
        replace(b.spec, gestures=("open", "ok", "fist")),
    )
    mixed = Mixture([a, b])
    named = [mixed.spec.gestures[index] for index in mixed.labels(torch.arange(5)).gesture.tolist()]
    assert named == ["fist", "open", "open", "ok", "fist"]
    assert len(mixed.spec.gestures) == 3


def test_joints_in_space_meet_at_the_wrist_where_the_roots_differ():
    solid = torch.randn(2, 21, 3, generator=torch.Generator().manual_seed(0)) * 50
    camera = torch.eye(3).repeat(2, 1, 1)
    seen, bare = (
        Made(0, 2, joints_3d=solid + 400, intrinsics=camera),
        Made(1, 2, joints_3d=solid - solid[:, :1], intrinsics=camera),
    )
    seen.spec = replace(seen.spec, root="camera")
    mixed = Mixture([seen, bare])
    joints = mixed.labels(torch.arange(4)).joints_3d
    torch.testing.assert_close(joints[:2], joints[2:], rtol=0, atol=1e-3)
    assert joints[:, 0].abs().max() == 0
    assert mixed.spec.root == "wrist"
    assert "intrinsics" not in mixed.spec.modalities  # they would no longer project the joints
    alike = Mixture([seen, seen])
    assert alike.spec.root == "camera"
    torch.testing.assert_close(alike.labels(torch.arange(2)).joints_3d, solid + 400)
    assert "intrinsics" in alike.spec.modalities


def test_the_spec_says_what_was_mixed():
    left = Made(1, 5, sides="left", licence="mine")
    spec = Mixture([Made(0, 3, licence="yours"), left], [0.5, 0.5]).spec
    assert (spec.name, spec.count, spec.sides, spec.licence) == (
        "0.5 set0 + 0.5 set1",
        10,
        "both",
        "yours + mine",
    )
    assert Mixture([left, left]).spec.sides == "left"
    assert Mixture([left, left]).spec.name == "set1 + set1"


# -------------------------------------------------------------------------------------------- ------ refusals


def test_sets_of_other_joints_are_refused():
    other = Made(1, 3, joints=20, joint_names=tuple(f"joint {i}" for i in range(20)))
    with pytest.raises(UserError, match=r"set1: its 20 joints are not the 21 of set0; .*same joints"):
        Mixture([Made(0, 3), other])


@pytest.mark.parametrize(
    ("shares", "fault"),
    [((1.0,), "1 for 2"), ((1.0, 0.0), "positive"), ((1.0, float("nan")), "positive"), ((1, -1), "positive")],
)
def test_shares_that_are_none_are_refused(shares, fault):
    with pytest.raises(UserError, match=fault):
        Mixture([Made(0, 3), Made(1, 3)], shares)


# --------------------------------------------------------------------------------------------- - real readers


def test_a_batch_is_a_function_of_seed_and_step_and_is_shared_over_ranks(tiny_set):
    mixed = Mixture([CocoHands(tiny_set, "train"), CocoHands(tiny_set, "test")], [1, 3])
    loader = Loader(mixed, Crop(32), Augment(), batch=8, seed=3)
    whole = loader.batch_at(17)
    again = Loader(mixed, Crop(32), Augment(), batch=8, seed=3)
    _ = list(again.batches(15, 17))
    assert torch.equal(again.batch_at(17).image, whole.image)
    halves = [Loader(mixed, Crop(32), Augment(), 8, 3, rank, 2).batch_at(17) for rank in range(2)]
    assert torch.equal(torch.cat([half.image for half in halves]), whole.image)


def test_batches_hold_the_shares_on_average():
    mixed = Mixture([Made(0, 40), Made(1, 10)], [0.3, 0.7])
    loader = Loader(mixed, Crop(32), None, batch=16)
    rows = torch.cat([loader.rows_at(step) for step in range(200)])
    counts = Counter(number for number, _ in origins(mixed, rows))
    assert counts[1] / len(rows) == pytest.approx(0.7, abs=0.01)


def test_a_source_of_one_set_is_that_set(tiny_set):
    assert isinstance(open_training_data(DataOptions(tiny_set)), CocoHands)


def test_the_protocol_is_that_of_the_root(tiny_set):
    with pytest.raises(UserError, match="no protocol 'B1'"):
        open_training_data(DataOptions(tiny_set, protocol="B1"))


def test_each_further_set_has_its_own_split(tiny_set):
    mixed = open_training_data(DataOptions(tiny_set, "train", (tiny_set,), "test"))
    assert len(mixed) == 48
    assert len(mixed.labels(torch.arange(48)).subject.unique()) == 6


def test_left_and_right_hands_mix(tiny_set, small_set):
    other = small_set(lambda content: [row.update(hand_side="left") for row in content["annotations"]])
    mixed = open_training_data(DataOptions(tiny_set, "train", (other,)))
    assert mixed.spec.sides == "both"
    side = mixed.labels(torch.arange(len(mixed))).side
    assert [(side == RIGHT).sum().item(), (side == LEFT).sum().item()] == [32, 3]


def test_a_mixture_is_trained_on_and_named_in_the_model(handvae, tiny_set, tiny_flags, tmp_path):
    words = [
        "train",
        "photos-64",
        "--data.root",
        tiny_set,
        "--data.also",
        tiny_set,
        "--data.also-split",
        "test",
        "--data.shares",
        "1",
        "3",
    ]
    code, _, error = handvae(*words, "--out", tmp_path / "run", *tiny_flags, "--train.steps", "2")
    assert code == 0, error
    spec = load_model(tmp_path / "run").system.spec
    assert spec.name == f"1 {tiny_set.name} + 3 {tiny_set.name}"
    assert spec.count == 128


@pytest.mark.parametrize(
    ("words", "fault"),
    [(["--data.shares", "1"], "one data set"), (["--data.also", "SET", "--data.shares", "1"], "1 for 2")],
)
def test_shares_that_do_not_fit_are_refused_on_the_command_line(words, fault, refused, tiny_set, tmp_path):
    words = [str(tiny_set) if word == "SET" else word for word in words]
    line = refused("train", "photos-64", "--data.root", tiny_set, *words, "--out", tmp_path / "run")
    assert "--data.shares" in line
    assert fault in line
    assert not (tmp_path / "run").exists()
