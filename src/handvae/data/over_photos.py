"""Photos, and hands that are set before them."""

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.data.dataset import HandData
from handvae.data.files.frames import list_pictures
from handvae.data.files.pictures import read_picture
from handvae.data.subset import Subset
from handvae.errors import UserError

SMALLEST_REGION = 0.4
"""Side of the smallest region of a photo that is set behind a hand, over the photo's shorter side."""
KEPT_PHOTOS = 1024
"""Decoded photos that stay in memory."""


class Photos:
    """The photos of a folder and of the folders in it, in order of name.

    Raises:
        UserError: there are none.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise UserError(root, "holds no picture", "give a folder of photos")
        self.paths = list_pictures(root, below=True)
        self.read = lru_cache(KEPT_PHOTOS)(self._read)

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, number: int) -> UInt8[np.ndarray, "height width 3"]:
        return read_picture(self.paths[number])


class OverPhotos(Subset):
    """A data set with photos behind some of its hands.

    Which hand stands before what is a function of its row: a run that is resumed sees the same pictures.

    Args:
        data: has the class of each pixel.
        photos: go behind the hands.
        share: of the hands that get a photo behind them.
    """

    def __init__(self, data: HandData, photos: Photos, share: float = 0.5) -> None:
        super().__init__(data, range(len(data)))
        self._photos = photos
        self._share = share

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB, with a photo behind the hand and its arm or as it is."""
        picture = super().picture(row)
        generator = np.random.default_rng(row)
        if generator.random() >= self._share:
            return picture

        height, width = picture.shape[:2]
        photo = self._photos.read(int(generator.integers(len(self._photos))))
        behind = random_region(photo, generator, (width, height))

        # class 0 is the background; a soft edge, as a lens draws it
        cover = (self.segmentation(row) > 0).astype(np.float32)
        cover = cv2.GaussianBlur(cover, (3, 3), 0.6)[..., None]
        return np.asarray(picture * cover + behind * (1 - cover) + 0.5, np.uint8)


def random_region(
    photo: UInt8[np.ndarray, "height width 3"], generator: np.random.Generator, size: Sequence[int]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """A random region of a photo of the form of `size` (width, height), mirrored or not, of that size."""
    height, width = photo.shape[:2]
    largest = min(width / size[0], height / size[1])
    scale = largest * generator.uniform(SMALLEST_REGION, 1.0)
    columns = max(1, math.floor(size[0] * scale))
    rows = max(1, math.floor(size[1] * scale))

    left = int(generator.integers(width - columns + 1))
    top = int(generator.integers(height - rows + 1))
    region = photo[top : top + rows, left : left + columns]
    if generator.random() < 0.5:
        region = region[:, ::-1]

    shrinks = columns > size[0]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(region, tuple(size), interpolation=interpolation), np.uint8)
