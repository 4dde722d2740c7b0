"""Depth, parts and mask are cut with the picture's map, and only when asked for."""

import numpy as np
import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop, cube_centre, cut, move_labels, normalise_depth
from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.data.loader import Loader
from handvae.geometry import project
from handvae.hand import LEFT, RIGHT, SEGMENTATION_CLASSES
from handvae.noise import Noise

K = torch.tensor([[[300.0, 0.0, 60.0], [0.0, 300.0, 50.0], [0.0, 0.0, 1.0]]])
WIDTH, HEIGHT = 120, 100
PALM, INDEX = SEGMENTATION_CLASSES.index("palm"), SEGMENTATION_CLASSES.index("index")


class Squares(HandData):
    """Two hands of 21 joints on a grid, each joint a square of 4 px of its own depth and part; counts what is
    read."""

    def __init__(self, modalities: tuple[str, ...] = ("image", "depth", "segmentation", "joints_2d")) -> None:
        self.spec = DataSpec("squares", 2, 0, modalities, "right")
        grid = torch.stack(torch.meshgrid(torch.arange(7.0), torch.arange(3.0), indexing="ij"), -1).reshape(
            21, 2
        )
        z = 400 + 5 * torch.arange(21.0)
        pixels = grid * 8 + torch.tensor([30.0, 40.0])
        solid = torch.cat([(pixels - K[0, :2, 2]) / 300 * z[:, None], z[:, None]], 1)
        self.joints_3d = solid.expand(2, 21, 3)
        self.read: list[str] = []

    def __len__(self) -> int:
        return 2

    def labels(self, rows):
        joints = self.joints_3d[rows]
        valid = torch.ones(len(rows), 21, dtype=torch.bool)
        return Hands(
            joints_2d=project(joints, K.expand(len(rows), 3, 3)),
            joints_3d=joints,
            joint_valid=valid,
            joint_visible=valid,
            joint_spread=torch.full((len(rows), 21), 2.0),
            intrinsics=K.expand(len(rows), 3, 3),
            side=torch.full((len(rows),), RIGHT),
        )

    def _paint(self, values: np.ndarray, kind: str) -> np.ndarray:
        self.read.append(kind)
        canvas = np.zeros((HEIGHT, WIDTH), values.dtype)
        for (x, y), value in zip(
            project(self.joints_3d[:1], K)[0].round().int().tolist(), values, strict=True
        ):
            canvas[y - 2 : y + 2, x - 2 : x + 2] = value
        return canvas

    def picture(self, row):
        return np.repeat(self._paint(np.full(21, 255, np.uint8), "image")[..., None], 3, 2)

    def depth(self, row):
        return self._paint(self.joints_3d[row, :, 2].numpy(), "depth")

    def segmentation(self, row):
        return self._paint(
            np.array([PALM] * 10 + [SEGMENTATION_CLASSES.index("forearm")] + [INDEX] * 10, np.uint8),
            "segmentation",
        )


def at_joints(maps: torch.Tensor, hands: Hands) -> torch.Tensor:
    """Values under the visible joints, one after the other."""
    batch, joint = hands.joint_visible.nonzero().unbind(1)
    x, y = hands.joints_2d[batch, joint].long().unbind(-1)
    return maps[batch, 0, y, x]


everything = ("image", "depth", "segmentation", "mask")


@pytest.mark.parametrize(
    "crop",
    [Crop(64), Crop(64, sides="left"), Crop(48, box="cube", cube_mm=200.0), Crop(96, box="hand3d")],
    ids=str,
)
@pytest.mark.parametrize(
    "augment",
    [None, Augment(rotation_deg=180.0, scale=0.2, shift=0.1, mirror=0.5)],
    ids=["still", "augmented"],
)
def test_what_lies_under_a_joint_stays_under_it_in_every_field(crop, augment):
    hands = cut(Squares(), torch.tensor([0, 1]), crop, augment, Noise(3), everything)
    seen = hands.joint_visible
    assert seen.float().mean() > 0.8
    assert torch.equal(
        at_joints(hands.depth, hands), hands.joints_3d[..., 2][seen]
    )  # nearest: not a mean of two
    codes = torch.tensor([PALM] * 10 + [SEGMENTATION_CLASSES.index("forearm")] + [INDEX] * 10).expand(2, 21)
    assert torch.equal(at_joints(hands.segmentation, hands), codes[seen])
    assert torch.equal(
        at_joints(hands.mask, hands), (codes != SEGMENTATION_CLASSES.index("forearm"))[seen].float()
    )
    assert at_joints(hands.image, hands).min() > 0.3


def test_beyond_the_picture_nothing_is_known():
    hands = cut(Squares(), torch.tensor([0]), Crop(64, margin=4.0), fields=("depth", "segmentation", "mask"))
    assert hands.image is None
    assert hands.depth[0, 0, 0].max() == hands.segmentation[0, 0, 0].max() == hands.mask[0, 0, 0].max() == 0


def test_only_what_is_asked_for_is_read():
    data = Squares()
    cut(data, torch.tensor([0]), Crop(16), fields=("depth",))
    assert data.read == ["depth"]


def test_a_loader_gives_the_fields_it_is_asked_for():
    batch = Loader(Squares(), Crop(16), Augment(), batch=2, fields=("depth", "mask")).batch_at(0)
    assert (batch.image, batch.segmentation) == (None, None)
    assert (batch.depth.shape, batch.mask.shape) == ((2, 1, 16, 16), (2, 1, 16, 16))


@pytest.mark.parametrize("field", ["image", "depth", "segmentation", "mask"])
def test_a_field_that_the_data_set_lacks_is_named(field):
    class Bare(Squares):
        picture, depth, segmentation, mask = (
            HandData.picture,
            HandData.depth,
            HandData.segmentation,
            HandData.mask,
        )

    with pytest.raises(ValueError, match=f"squares has no {field}; it has joints_2d"):
        cut(Bare(("joints_2d",)), torch.tensor([0]), Crop(16), fields=(field,))


# ------------------------------------------------------------------------------------------------- --- labels


def test_a_joint_that_leaves_the_crop_is_no_longer_visible_and_still_labelled():
    labels = Squares().labels(torch.tensor([0]))
    shift = torch.tensor(
        [[[1.0, 0.0, -31.0], [0.0, 1.0, 0.0]]]
    )  # the first column of joints, x = 30, falls off
    moved = move_labels(labels, shift, 100)
    assert (~moved.joint_visible).nonzero()[:, 1].tolist() == [0, 1, 2]
    assert moved.joint_valid.all()


def test_a_hidden_joint_does_not_become_visible_in_a_crop():
    labels = Squares().labels(torch.tensor([0]))
    hidden = Hands(**(dict(labels.items()) | {"joint_visible": torch.zeros(1, 21, dtype=torch.bool)}))
    assert not move_labels(hidden, torch.eye(2, 3)[None], 200).joint_visible.any()


def test_the_spread_grows_with_the_pictures_scale_and_not_with_its_turn():
    labels = Squares().labels(torch.tensor([0, 1]))
    turned = torch.tensor([[0.0, -3.0, 5.0], [3.0, 0.0, 1.0]])
    mirrored = torch.tensor([[-0.5, 0.0, 5.0], [0.0, 0.5, 1.0]])
    moved = move_labels(labels, torch.stack([turned, mirrored]))
    torch.testing.assert_close(moved.joint_spread[:, 0], torch.tensor([6.0, 1.0]))
    assert moved.side.tolist() == [RIGHT, LEFT]


# ------------------------------------------------------------------------------------------------ ----- cubes


def test_a_cube_fills_its_crop_at_the_depth_of_its_centre():
    hands = cut(Squares(), torch.tensor([0]), Crop(64, box="cube", cube_mm=200.0), fields=("depth",))
    centre = cube_centre(hands.joints_3d, hands.joint_valid)
    corners = centre[:, None] + torch.tensor([[[-100.0, -100.0, 0.0], [100.0, 100.0, 0.0], [0.0, 0.0, 0.0]]])
    expected = torch.tensor([[0.0, 0.0], [64.0, 64.0], [32.0, 32.0]])
    torch.testing.assert_close(project(corners, hands.intrinsics)[0], expected, atol=1e-2, rtol=0)


def test_the_cubes_centre_is_that_of_the_labelled_joints():
    joints = torch.tensor([[[1.0, 2.0, 3.0], [3.0, 4.0, 5.0], [1e6, 1e6, 1e6]]])
    assert cube_centre(joints, torch.tensor([[True, True, False]])).tolist() == [[2.0, 3.0, 4.0]]


def test_depth_in_the_cube_is_between_its_faces_and_all_else_is_at_the_far_one():
    depth = torch.tensor([[[[0.0, 350.0, 400.0, 500.0, 349.0, 501.0]]]])
    normal = normalise_depth(depth, torch.tensor([[0.0, 0.0, 425.0]]), 150.0)
    torch.testing.assert_close(normal[0, 0, 0], torch.tensor([1.0, -1.0, -1 / 3, 1.0, 1.0, 1.0]))
