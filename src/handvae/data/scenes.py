"""Whole pictures with all their hands, as rows: what a finder of hands learns from.

A scene's labels are `Hands.instances` and what goes with them: the 2D joints of up to `MOST_HANDS` hands.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from handvae.data.dataset import HandData
from handvae.data.hands import DataSpec, Hands
from handvae.data.mixture import Mixture, can_be_cut_out
from handvae.data.open import DataOptions, open_data
from handvae.data.over_photos import Photos, random_region
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT

MOST_HANDS = 6
"""Hands of a scene that are labelled; a picture with more is not exhaustively labelled."""
PASTED_SIDE = 288
"""Larger side of the pictures into which hands are pasted, px."""
SMALLEST, LARGEST = 0.06, 0.9
"""Size of a pasted hand, over the picture's larger side."""
TRIES = 6
"""Places that are tried for a pasted hand before it is left out."""
_FIELDS = ("image", "instances", "instance_valid", "instance_side", "all_labelled", "picture_size")


@dataclass(frozen=True)
class _Instances:
    """The hands of one picture."""

    joints: Float[np.ndarray, "hand 21 2"]
    sides: Int[np.ndarray, " hand"]
    size: tuple[int, int]
    """Width and height of the picture, px."""
    all_labelled: bool = True


def _labels(scenes: Sequence[_Instances]) -> Hands:
    """Labels of a batch of scenes, padded to `MOST_HANDS`."""
    joints = torch.zeros(len(scenes), MOST_HANDS, 21, 2)
    sides = torch.full((len(scenes), MOST_HANDS), -1, dtype=torch.int64)
    valid = torch.zeros(len(scenes), MOST_HANDS, dtype=torch.bool)

    for row, scene in enumerate(scenes):
        count = min(MOST_HANDS, len(scene.joints))
        joints[row, :count] = torch.from_numpy(scene.joints[:count])
        sides[row, :count] = torch.from_numpy(scene.sides[:count])
        valid[row, :count] = True

    return Hands(
        instances=joints,
        instance_valid=valid,
        instance_side=sides,
        all_labelled=torch.tensor(
            [scene.all_labelled and len(scene.joints) <= MOST_HANDS for scene in scenes]
        ),
        picture_size=torch.tensor([scene.size for scene in scenes], dtype=torch.float32),
    )


def _spec(name: str, count: int) -> DataSpec:
    return DataSpec(name=name, count=count, size_px=0, modalities=_FIELDS, sides="both")


# ----------------------------------------------------------------------------------------- labelled pictures


class LabelledScenes(HandData):
    """The pictures of a data set, each with all its labelled hands.

    Args:
        data: has a row for each hand, and names them by their pictures.
        all_labelled: whether every hand that a picture shows has a row.
    """

    def __init__(self, data: HandData, all_labelled: bool) -> None:
        rows_of_picture: dict[str, list[int]] = {}
        for row in range(len(data)):
            rows_of_picture.setdefault(data.name(row), []).append(row)

        labels = data.labels(torch.arange(len(data)))
        joints = labels.require("joints_2d")
        unknown = torch.full((len(data),), -1)
        side = unknown if labels.side is None else labels.side

        self._data = data
        self._first_rows = [rows[0] for rows in rows_of_picture.values()]
        self._scenes: list[_Instances | None] = [None] * len(self._first_rows)
        self._rows = list(rows_of_picture.values())
        self._joints, self._side = joints.numpy(), side.numpy()
        self._all_labelled = all_labelled
        self.spec = _spec(data.spec.name, len(self._rows))
        self.remarks = data.remarks

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """All hands of the pictures."""
        return _labels([self._scene(row) for row in rows.tolist()])

    def name(self, row: int) -> str:
        """The picture's name."""
        return self._data.name(self._first_rows[row])

    def split_of(self, row: int) -> str:
        """The picture's split."""
        return self._data.split_of(self._first_rows[row])

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture, RGB."""
        return self._data.picture(self._first_rows[row])

    def _scene(self, row: int) -> _Instances:
        scene = self._scenes[row]
        if scene is None:
            # the picture tells its size: not every annotation file does
            height, width = self.picture(row).shape[:2]
            hands = self._rows[row]
            scene = _Instances(self._joints[hands], self._side[hands], (width, height), self._all_labelled)
            self._scenes[row] = scene
        return scene


class EmptyScenes(HandData):
    """Photos that show no hand."""

    def __init__(self, photos: Photos) -> None:
        self._photos = photos
        self.spec = _spec("without hands", len(photos))

    def __len__(self) -> int:
        return len(self._photos)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """No hand, and the pictures' sizes."""
        nothing = np.zeros((0, 21, 2), np.float32), np.zeros(0, np.int64)
        sizes = [self.picture(row).shape for row in rows.tolist()]
        return _labels([_Instances(*nothing, (size[1], size[0])) for size in sizes])

    def name(self, row: int) -> str:
        """The photo's name."""
        return self._photos.paths[row].name

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The photo, RGB."""
        return self._photos.read(row)


# ------------------------------------------------------------------------------------------- pasted hands


@dataclass(frozen=True)
class _Pasted:
    """A drawn hand and its place in a scene."""

    row: int
    affine: Float[np.ndarray, "2 3"]
    """From pixels of the drawn picture to pixels of the scene."""
    joints: Float[np.ndarray, "21 2"]
    side: int


class PastedScenes(HandData):
    """Drawn hands, with their forearms, pasted into photos that show none.

    A scene is a function of its row: a run that is resumed sees the same pictures.

    Args:
        data: hands whose outline is known, one in each picture.
        photos: show no hand.
        count: number of scenes.
    """

    def __init__(self, data: HandData, photos: Photos, count: int) -> None:
        self._data = data
        self._photos = photos
        self._count = count
        self.spec = _spec(f"{data.spec.name} in photos", count)

    def __len__(self) -> int:
        return self._count

    def name(self, row: int) -> str:
        """The number of the scene."""
        return f"scene {row}"

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """All hands of the scenes."""
        scenes = []
        for row in rows.tolist():
            size, pasted = self._plan(row, np.random.default_rng(row))
            joints = np.array([hand.joints for hand in pasted], np.float32).reshape(-1, 21, 2)
            scenes.append(_Instances(joints, np.array([hand.side for hand in pasted], np.int64), size))
        return _labels(scenes)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The scene, RGB."""
        generator = np.random.default_rng(row)
        size, pasted = self._plan(row, generator)
        photo = self._photos.read(int(generator.integers(len(self._photos))))
        scene = random_region(photo, generator, size).astype(np.float32)

        for hand in pasted:
            cover = (self._data.segmentation(hand.row) > 0).astype(np.float32)
            picture = self._data.picture(hand.row).astype(np.float32)
            scale = float(np.sqrt(abs(np.linalg.det(hand.affine[:, :2]))))
            if scale < 0.7:
                # bilinear sampling alone would skip pixels
                picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.4 / scale))
                cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), 0.4 / scale))

            placed = cv2.warpAffine(picture, hand.affine, size, borderMode=cv2.BORDER_REPLICATE)
            alpha = cv2.warpAffine(cover, hand.affine, size)[..., None]
            # lighter or darker as a whole: the photo's light is not the hand's
            placed = placed * generator.uniform(0.7, 1.2)
            scene = placed * alpha + scene * (1 - alpha)

        return np.asarray(scene.clip(0, 255) + 0.5, np.uint8)

    def _plan(self, row: int, generator: np.random.Generator) -> tuple[tuple[int, int], list[_Pasted]]:
        """The size of a scene and the hands in it; the generator's next draws are the picture's."""
        shape = generator.uniform(0.6, 1.0)
        sides = (PASTED_SIDE, max(1, round(PASTED_SIDE * shape)))
        size = sides if generator.random() < 0.6 else (sides[1], sides[0])

        wanted = 1 + int(generator.random() < 0.45) + int(generator.random() < 0.15)
        pasted: list[_Pasted] = []
        for _ in range(wanted):
            number = int(generator.integers(len(self._data)))
            for _ in range(TRIES):
                hand = self._placed(number, size, generator)
                if all(_apart(hand.joints, other.joints) for other in pasted):
                    pasted.append(hand)
                    break

        return size, pasted

    def _placed(self, row: int, size: tuple[int, int], generator: np.random.Generator) -> _Pasted:
        """A hand at a random size and place, turned and mirrored."""
        labels = self._data.labels(torch.tensor([row]))
        joints = labels.require("joints_2d")[0].double().numpy()
        side = int(labels.require("side")[0])

        low, high = joints.min(0), joints.max(0)
        extent = float((high - low).max())
        target = max(size) * np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST)))
        angle = np.deg2rad(generator.normal() * 25)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        linear = target / extent * turn
        if generator.random() < 0.5:
            linear = np.diag([-1.0, 1.0]) @ linear
            side = LEFT + RIGHT - side

        # most of the hand inside: its middle keeps away from the border
        keep = min(0.3 * target, 0.45 * min(size))
        middle = np.array([generator.uniform(keep, length - keep) for length in size])
        offset = middle - linear @ ((low + high) / 2)
        affine = np.concatenate([linear, offset[:, None]], 1)
        return _Pasted(row, affine, (joints @ linear.T + offset).astype(np.float32), side)


def _apart(first: Float[np.ndarray, "21 2"], second: Float[np.ndarray, "21 2"]) -> bool:
    """Whether the boxes of two hands overlap by less than a tenth of the smaller one."""
    overlap = np.minimum(first.max(0), second.max(0)) - np.maximum(first.min(0), second.min(0))
    smaller = min(float(np.prod(np.ptp(joints, axis=0))) for joints in (first, second))
    return float(np.prod(overlap.clip(0))) < 0.1 * smaller


# ------------------------------------------------------------------------------------------- opened


def open_training_scenes(options: DataOptions) -> HandData:
    """The data sets to train a finder on, as scenes.

    Sets whose outlines are known are pasted into `options.backgrounds`, others are shown whole; folders of
    `options.without_hands` are pictures of no hand.

    Raises:
        UserError: one is not there or has a fault, or hands are to be pasted into nothing.
    """
    roots = [(options.root, options.split), *((root, options.also_split) for root in options.also)]
    sets: list[HandData] = []
    for root, split in roots:
        data = open_data(root, split)
        if not can_be_cut_out(data):
            sets.append(LabelledScenes(data, all_labelled=False))
        elif options.backgrounds is None:
            fault = "shows drawn hands, and there is nothing to paste them into"
            raise UserError(root, fault, "give a folder of photos by --data.backgrounds")
        else:
            sets.append(PastedScenes(data, Photos(options.backgrounds), len(data)))

    sets += [EmptyScenes(Photos(root)) for root in options.without_hands]
    return Mixture(sets, options.shares or None) if len(sets) > 1 else sets[0]


def scene_boxes(
    instances: Float[Tensor, "batch hand 21 2"],
) -> tuple[Float[Tensor, "batch hand 2"], Float[Tensor, "batch hand 2"]]:
    """Middles and sizes (width, height) of the boxes of joints."""
    low, high = instances.amin(2), instances.amax(2)
    return (low + high) / 2, high - low


def inside_share(instances: Float[Tensor, "batch hand 21 2"], size_px: int) -> Float[Tensor, "batch hand"]:
    """Share of each hand's joints that lie in a square picture."""
    inside: Bool[Tensor, "batch hand 21"] = ((instances >= 0) & (instances <= size_px)).all(-1)
    return inside.float().mean(-1)
