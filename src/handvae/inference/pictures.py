"""Whatever a caller hands over as a picture, as an oriented RGB array."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from handvae.data.files.frames import list_pictures
from handvae.data.files.pictures import read_picture
from handvae.errors import UserError

PictureSource = str | Path | Image.Image | np.ndarray
"""A file, a PIL picture, or an array (height, width, 3): uint8, or floats in [0, 1]."""
GIVE = "give a path, a PIL picture, or an array (height, width, 3) of uint8 or of floats in [0, 1]"

_EIGHT_BIT_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"}


def read_rgb(source: PictureSource) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture to RGB, upright as its EXIF tag says; transparency is ignored.

    Raises:
        UserError: the file is missing, damaged, or no picture.
        TypeError: it is of another type, or an array of another dtype.
        ValueError: an array has another shape or range, or a PIL picture another depth than 8 bits.
    """
    if isinstance(source, str | Path):
        return read_picture(Path(source))
    if isinstance(source, Image.Image):
        return _from_pil(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)

    raise TypeError(f"a {type(source).__name__} is no picture; {GIVE}")


def source_path(source: PictureSource) -> Path | None:
    """The file of a picture, or None where it is in memory."""
    return Path(source) if isinstance(source, str | Path) else None


def source_name(source: PictureSource | None) -> str:
    """How messages call a picture."""
    return str(source) if isinstance(source, str | Path) else "the picture"


def pictures_in(path: Path) -> list[Path]:
    """A picture, or all pictures of a folder in order of name.

    Raises:
        UserError: there is no such file, or no picture in the folder.
    """
    if path.is_dir():
        return list_pictures(path)

    if not path.is_file():
        raise UserError(path, "no such picture", "check the path")

    return [path]


def _from_pil(picture: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    if picture.mode not in _EIGHT_BIT_MODES:
        # PIL's own conversion would clip 16-bit values to white
        remedy = "scale its values to 0...255 and make it an RGB picture"
        raise ValueError(f"a PIL picture of mode {picture.mode!r} has no 8-bit colours; {remedy}")
    try:
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright.convert("RGB"), np.uint8)
    except OSError as error:  # PIL decodes late: the file may be cut off
        where = getattr(picture, "filename", "") or "the picture"
        raise UserError(where, f"the picture is damaged ({error})", "replace the file") from error


def _from_array(pixels: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    whole = pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size > 0
    if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(f"{_describe(pixels)} is no picture; {GIVE}")
    if not whole:
        raise ValueError(f"{_describe(pixels)} is no picture; {GIVE}")
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)

    # a test that NaN fails too
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"{_describe(pixels)} leaves the range of a picture; {GIVE}")

    return np.round(pixels.astype(np.float64) * 255).astype(np.uint8)


def _describe(pixels: np.ndarray) -> str:
    """Shape, dtype and range of an array."""
    text = f"an array of shape {pixels.shape}, dtype {pixels.dtype}"
    if pixels.size == 0 or pixels.dtype.kind not in "biuf":
        return text
    low: Any = pixels.min()
    high: Any = pixels.max()
    return f"{text}, range {low:.4g} to {high:.4g}"
