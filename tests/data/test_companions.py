"""Other pictures of the same content, and hands whose poses are held back."""

import json
import shutil

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut
from handvae.data.mixture import open_training_data
from handvae.data.open import DataOptions, open_data
from handvae.data.readers import stb
from handvae.data.readers.coco import CocoHands
from handvae.data.readers.rendered import RenderPlan, write_plan
from handvae.data.subset import FewLabels, PeopleAsContents, Subset
from handvae.errors import UserError
from handvae.noise import Noise


class Contents(Subset):
    """The drawn hands, with a content each."""

    content: torch.Tensor

    def labels(self, rows):
        labels = super().labels(rows)
        return type(labels)(**(dict(labels.items()) | {"content": self.content[rows]}))


@pytest.fixture
def contents(tiny_set):
    data = Contents(CocoHands(tiny_set), range(48))
    data.content = torch.randint(0, 6, (48,), generator=torch.Generator().manual_seed(0))
    data.content[17] = 99  # alone
    return data


def test_a_companion_has_the_same_content_and_is_another_row(contents):
    rows = torch.arange(48).repeat(400)
    others = contents.companions(rows, Noise(0).uniform(len(rows)))
    assert (contents.content[others] == contents.content[rows]).all()
    assert rows[others == rows].unique().tolist() == [17]
    for row in range(48):
        same = set((contents.content == contents.content[row]).nonzero()[:, 0].tolist()) - {row} or {17}
        assert set(others[rows == row].tolist()) == same, "every other picture of the content is drawn"


@pytest.mark.parametrize("draw", [0.0, 0.9999999])
def test_the_ends_of_the_draw_stay_inside_the_content(draw, contents):
    rows = torch.arange(48)
    assert (contents.content[contents.companions(rows, torch.full((48,), draw))] == contents.content).all()


def test_a_tag_is_the_companions_picture_and_leaves_all_else_as_it_was(contents):
    rows = torch.arange(48)
    plain, tagged = (
        cut(contents, rows, Crop(32), Augment(), Noise(1), fields)
        for fields in (("image",), ("image", "tag"))
    )
    for name, value in plain.items():
        assert torch.equal(getattr(tagged, name), value)
    still = cut(contents, rows, Crop(32), None, Noise(1), ("image", "tag"))
    pictures = still.image.flatten(1)
    nearest = torch.cdist(still.tag.flatten(1), pictures).argmin(1)
    assert torch.equal(pictures[nearest], still.tag.flatten(1))
    assert (contents.content[nearest] == contents.content).all()


def test_the_parts_told_of_a_tag_are_those_of_its_own_picture(contents, monkeypatch):
    monkeypatch.setattr(
        type(contents), "segmentation", lambda self, row: self.picture(row)[..., 0]
    )  # so that parts and picture can be compared
    rows, augment = torch.arange(48), Augment(rotation_deg=0.0, scale=0.0, shift=0.3)
    plain, told = (
        cut(contents, rows, Crop(64), augment, Noise(1), fields)
        for fields in (("image", "tag"), ("image", "tag", "tag_segmentation"))
    )
    for name, value in plain.items():
        assert torch.equal(getattr(told, name), value)
    assert told.segmentation is None
    there = told.tag_segmentation > 0  # beyond the border a picture goes on, and shows no part
    apart = (told.tag_segmentation - 255 * told.tag[:, :1]).abs()[there]
    assert there.float().mean() > 0.5
    assert apart.median() <= 8
    assert (told.tag_segmentation - 255 * told.image[:, :1]).abs()[there].median() > 8


def test_data_without_contents_have_no_companions(tiny_set):
    with pytest.raises(ValueError, match="content"):
        CocoHands(tiny_set).companions(torch.arange(2), torch.zeros(2))


def test_a_source_can_hold_poses_back(tiny_set):
    data = open_training_data(DataOptions(tiny_set, labelled_share=0.25))
    assert isinstance(data, FewLabels)
    assert data.labels(torch.arange(32)).pose_known.tolist() == [True] * 8 + [False] * 24
    assert "pose_known" in data.spec.modalities
    assert data.name(3) == CocoHands(tiny_set, "train").name(3)
    mixed = open_training_data(DataOptions(tiny_set, also=(tiny_set,), labelled_share=0.25))
    assert mixed.labels(torch.arange(64)).pose_known.tolist() == [True] * 16 + [False] * 48


def test_known_poses_can_fill_half_of_an_average_batch(contents):
    half = FewLabels(contents, 0.125, of_batch=0.5)
    rows = torch.arange(len(half))
    known, names = half.labels(rows).pose_known, [half.name(row) for row in rows.tolist()]
    assert 0.5 <= known.float().mean() < 0.6
    assert len({name for name, is_known in zip(names, known, strict=True) if is_known}) == half.known == 6
    assert len(set(names)) == len(contents)  # nobody is left out
    assert len(FewLabels(contents, 0.75, of_batch=0.5)) == len(contents)  # they do already


def test_a_hand_that_comes_again_is_not_its_own_companion(contents):
    half = FewLabels(contents, 0.125, of_batch=0.5)
    rows = torch.arange(len(half))
    found = half.companions(rows, torch.linspace(0, 0.99, len(half)))
    same = [
        half.name(row)
        for row, other in zip(rows.tolist(), found.tolist(), strict=True)
        if half.name(row) == half.name(other)
    ]
    assert same == [contents.name(17)]  # which is alone
    assert (half.labels(rows).content == half.labels(found).content).all()


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_of_the_batch_that_is_none_is_refused(share, tiny_set):
    with pytest.raises(UserError, match="labelled-of-batch"):
        open_training_data(DataOptions(tiny_set, labelled_share=0.5, labelled_of_batch=share))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share, tiny_set):
    with pytest.raises(UserError, match="labelled-share"):
        open_training_data(DataOptions(tiny_set, labelled_share=share))


def test_people_can_stand_for_contents(tiny_set):
    data = open_training_data(DataOptions(tiny_set, people_as_contents=True))
    assert isinstance(data, PeopleAsContents)
    assert "content" in data.spec.modalities
    rows = torch.arange(len(data))
    labels = data.labels(rows)
    assert torch.equal(labels.content, labels.subject)
    found = data.companions(rows, torch.full((len(data),), 0.5))
    assert torch.equal(labels.subject[found], labels.subject)
    alone = torch.bincount(labels.subject)[labels.subject] == 1
    assert torch.equal(found == rows, alone)
    assert not alone.all()


def test_contents_that_the_data_tell_stay_in_a_mixture_with_people(tiny_set, tmp_path):
    write_plan(tmp_path / "drawn", RenderPlan(16, seed=0, size_px=32))
    both = open_training_data(DataOptions(tmp_path / "drawn", also=(tiny_set,), people_as_contents=True))
    content = both.labels(torch.arange(len(both))).content
    drawn, photos = content[:16], content[16:]
    own = open_training_data(DataOptions(tmp_path / "drawn")).labels(torch.arange(16)).content
    assert torch.equal(drawn[:, None] == drawn, own[:, None] == own)
    assert not torch.isin(photos, drawn).any()
    assert len(photos.unique()) == len(
        open_training_data(DataOptions(tiny_set)).labels(torch.arange(32)).subject.unique()
    )


def test_people_whom_nobody_names_are_no_contents(tiny_set, tmp_path):
    folder = tmp_path / "strangers"
    shutil.copytree(tiny_set, folder)
    told = json.loads((folder / "annotations.json").read_text())
    for image in told["images"]:
        image.pop("person")
    (folder / "annotations.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=r"whose hands it shows; leave out --data\.people-as-contents"):
        open_training_data(DataOptions(folder, people_as_contents=True))


def test_stbs_contents_are_its_sequences_and_a_tag_is_another_frame_of_the_same(laid_out):
    """Both cameras of a sequence see the same place; algorithm 1 needs nothing but that."""
    data = open_data(laid_out("stb")[0], "train", "pose/bb")
    rows = torch.arange(len(data))
    content = data.labels(rows).require("content")
    sequences = [name.split("/")[1] for name in data.names]
    assert [stb.SEQUENCES[number] for number in content.tolist()] == sequences
    tags = data.companions(rows, Noise(0).uniform(len(rows)))
    assert (tags != rows).all()
    assert [sequences[row] for row in tags.tolist()] == sequences
    assert cut(data, rows[:3], Crop(32), fields=("image", "tag")).require("tag").shape == (3, 3, 32, 32)
