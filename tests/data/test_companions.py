"""Other pictures of the same content, and hands whose poses are held back."""

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.coco import CocoHands
from handvae.data.mixture import open_source
from handvae.data.source import Source
from handvae.data.subset import FewLabels, Subset
from handvae.data.view import Crop, cut
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
    plain, tagged = (cut(contents, rows, Crop(32), Augment(), Noise(1), fields) for fields in (("image",), ("image", "tag")))
    for name, value in plain.items():
        assert torch.equal(getattr(tagged, name), value)
    still = cut(contents, rows, Crop(32), None, Noise(1), ("image", "tag"))
    pictures = still.image.flatten(1)
    nearest = torch.cdist(still.tag.flatten(1), pictures).argmin(1)
    assert torch.equal(pictures[nearest], still.tag.flatten(1))
    assert (contents.content[nearest] == contents.content).all()


def test_data_without_contents_have_no_companions(tiny_set):
    with pytest.raises(ValueError, match="content"):
        CocoHands(tiny_set).companions(torch.arange(2), torch.zeros(2))


def test_a_source_can_hold_poses_back(tiny_set):
    data = open_source(Source(tiny_set, labelled_share=0.25))
    assert isinstance(data, FewLabels)
    assert data.labels(torch.arange(32)).pose_known.tolist() == [True] * 8 + [False] * 24
    assert "pose_known" in data.spec.modalities
    assert data.name(3) == CocoHands(tiny_set, "train").name(3)
    mixed = open_source(Source(tiny_set, also=(tiny_set,), labelled_share=0.25))
    assert mixed.labels(torch.arange(64)).pose_known.tolist() == [True] * 16 + [False] * 48


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share, tiny_set):
    with pytest.raises(UserError, match="labelled-share"):
        open_source(Source(tiny_set, labelled_share=share))
