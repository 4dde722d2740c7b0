"""Depth pictures as files: millimetres out of the encodings of cameras and data sets."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from handvae.choices import Encoding
from handvae.data.files.pictures import read_picture, read_plane
from handvae.errors import UserError


def from_nyu(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """Millimetres of an NYU depth picture: the high byte in green, the low byte in blue."""
    wide = pixels.astype(np.float32)
    return wide[..., 1] * 256 + wide[..., 2]


def from_rhd(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """Millimetres of an RHD depth picture: 65,535ths of 5 m, the high byte in red, the low byte in green."""
    wide = pixels.astype(np.float32)
    return (wide[..., 0] * 256 + wide[..., 1]) * np.float32(5000 / 65535)


def from_stb(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width"]:
    """Millimetres of an STB depth picture: the low byte in red, the high byte in green."""
    wide = pixels.astype(np.float32)
    return wide[..., 0] + 256 * wide[..., 1]


def read_depth(
    path: Path, encoding: Encoding = "plane", unit_mm: float = 1.0
) -> Float[np.ndarray, "height width"]:
    """A depth picture in mm, 0 where unknown.

    Args:
        path: PNG file.
        encoding: how the depth is packed.
        unit_mm: what one unit of a `plane` stands for.

    Raises:
        UserError: the file is missing, damaged, or packed otherwise.
    """
    match encoding:
        case "plane":
            return read_plane(path, np.uint16).astype(np.float32) * np.float32(unit_mm)
        case "nyu":
            return from_nyu(read_picture(path))
        case "rhd":
            return from_rhd(read_picture(path))
        case "stb":
            return from_stb(read_picture(path))
        case "none":
            raise UserError(path, "is read as depth, which the encoding `none` excludes", "name its encoding")


def is_plane(path: Path) -> bool:
    """Whether a file is a picture of one channel of 16 bits, which photos are not.

    Also False for a missing file and for one that is no picture: reading it reports that.
    """
    if not path.is_file():
        return False
    try:
        # Pillow decodes nothing until the pixels are asked for
        with Image.open(io.BytesIO(path.read_bytes())) as header:
            return header.mode in ("I;16", "I;16B", "I;16L", "I")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False
