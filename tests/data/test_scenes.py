"""Scenes: whole pictures with all their hands, drawn hands pasted into photos, pictures of none."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cut, move_labels
from handvae.data.files.pictures import write_picture
from handvae.data.hands import Hands
from handvae.data.open import DataOptions, open_data
from handvae.data.over_photos import Photos
from handvae.data.readers.rendered import RenderedHands, RenderPlan
from handvae.data.scenes import (
    MOST_HANDS,
    EmptyScenes,
    LabelledScenes,
    PastedScenes,
    inside_share,
    open_training_scenes,
)
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT
from handvae.noise import Noise

WHOLE = Crop(64, margin=1.0, box="picture")


@pytest.fixture
def photos(tmp_path):
    """Two grey photos, 60 x 40 px."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        write_picture(folder / name, np.full((40, 60, 3), 90, np.uint8))
    return Photos(folder)


@pytest.fixture(scope="module")
def drawn():
    """Twelve drawn hands."""
    return RenderedHands(RenderPlan(12, size_px=48, cloud=0))


def test_a_scene_has_all_hands_of_its_picture(tiny_set):
    data = open_data(tiny_set, None)
    scenes = LabelledScenes(data, all_labelled=False)
    labels = scenes.labels(torch.arange(len(scenes)))

    assert int(labels.require("instance_valid").sum()) == len(data)
    assert len({scenes.name(row) for row in range(len(scenes))}) == len(scenes)
    first = data.labels(torch.tensor([0]))
    torch.testing.assert_close(labels.require("instances")[0, 0], first.require("joints_2d")[0])
    assert not labels.require("all_labelled").any()


def test_a_whole_picture_is_letterboxed_with_its_hands(tiny_set):
    scenes = LabelledScenes(open_data(tiny_set, None), all_labelled=True)
    rows = torch.arange(4)
    before, after = scenes.labels(rows), cut(scenes, rows, WHOLE)

    # 96 px pictures become 64 px ones
    torch.testing.assert_close(after.require("instances"), before.require("instances") * 64 / 96)
    assert after.require("image").shape == (4, 3, 64, 64)


def test_mirroring_a_picture_swaps_the_sides_that_are_known():
    mirror = torch.tensor([[[-1.0, 0.0, 64.0], [0.0, 1.0, 0.0]]])
    labels = Hands(instances=torch.rand(1, 3, 21, 2) * 64, instance_side=torch.tensor([[LEFT, RIGHT, -1]]))
    moved = move_labels(labels, mirror)

    assert moved.require("instance_side").tolist() == [[RIGHT, LEFT, -1]]
    torch.testing.assert_close(moved.require("instances")[..., 0], 64 - labels.require("instances")[..., 0])


def test_a_picture_without_hands_has_no_instance(photos):
    labels = EmptyScenes(photos).labels(torch.arange(2))

    assert not labels.require("instance_valid").any()
    assert labels.require("all_labelled").all()
    assert labels.require("picture_size").tolist() == [[60, 40], [60, 40]]


def test_pasted_hands_lie_where_their_labels_say(drawn, photos):
    """Joints lie on the pasted hand: on the photo's grey they stand out."""
    scenes = PastedScenes(drawn, photos, 30)
    on_hand = []
    for row in range(len(scenes)):
        labels = scenes.labels(torch.tensor([row]))
        picture = scenes.picture(row).astype(int)
        for number in range(MOST_HANDS):
            if labels.require("instance_valid")[0, number]:
                # the knuckles lie within the outline, from whatever side
                joints = labels.require("instances")[0, number][[5, 9, 13]].round().long()
                inside = joints[((joints >= 0).all(1)) & (joints < torch.tensor(picture.shape[1::-1])).all(1)]
                on_hand += [abs(picture[y, x] - 90).max() > 4 for x, y in inside.tolist()]

    assert len(on_hand) > 60
    assert np.mean(on_hand) > 0.9


def test_pasted_hands_of_one_scene_do_not_hide_each_other(drawn, photos):
    scenes = PastedScenes(drawn, photos, 40)
    labels = scenes.labels(torch.arange(40))
    counts = labels.require("instance_valid").sum(1)

    assert counts.max() >= 2
    for row in (counts >= 2).nonzero()[:, 0].tolist():
        hands = labels.require("instances")[row][labels.require("instance_valid")[row]]
        overlap = torch.minimum(hands[0].amax(0), hands[1].amax(0)) - torch.maximum(
            hands[0].amin(0), hands[1].amin(0)
        )
        areas = [float((hand.amax(0) - hand.amin(0)).prod()) for hand in hands[:2]]
        assert float(overlap.clamp_min(0).prod()) <= 0.1 * min(areas) + 1e-3


def test_a_scene_is_the_same_whenever_it_is_read(drawn, photos):
    first, second = (PastedScenes(drawn, photos, 5) for _ in range(2))
    for row in (4, 0, 3):
        assert np.array_equal(first.picture(row), second.picture(row))
        a, b = (scenes.labels(torch.tensor([row])) for scenes in (first, second))
        assert torch.equal(a.require("instances"), b.require("instances"))


def test_the_share_inside_counts_joints():
    instances = torch.zeros(1, 2, 21, 2)
    instances[0, 1, :7] = -5.0
    torch.testing.assert_close(inside_share(instances, 64), torch.tensor([[1.0, 2 / 3]]))


def test_a_mixture_of_all_kinds_is_cut_together(tiny_set, photos, tmp_path, handvae):
    folder = tmp_path / "drawn"
    assert handvae("render", "-n", "6", "--size", "32", "--cloud", "0", "--out", folder)[0] == 0
    options = DataOptions(
        tiny_set,
        split=None,
        also=(folder,),
        also_split=None,
        without_hands=(photos.root,),
        backgrounds=photos.root,
        shares=(2.0, 1.0, 1.0),
    )
    data = open_training_scenes(options)
    crops = cut(
        data, torch.arange(0, len(data), 3), WHOLE, Augment(scale=0.5, shift=0.3, mirror=0.5), Noise(1)
    )

    assert crops.require("image").shape[1:] == (3, 64, 64)
    assert crops.require("instance_valid").any()


def test_drawn_hands_want_a_photo_to_be_pasted_into(tmp_path, handvae):
    folder = tmp_path / "drawn"
    assert handvae("render", "-n", "4", "--size", "32", "--cloud", "0", "--out", folder)[0] == 0
    with pytest.raises(UserError, match="backgrounds"):
        open_training_scenes(replace(DataOptions(folder), split=None))
