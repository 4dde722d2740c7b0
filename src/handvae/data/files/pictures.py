"""Single pictures, read and written safely.

Paths stay inside their root, sizes stay bounded, and errors name the file.
"""

import importlib
import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from handvae.errors import UserError
from handvae.files import write_atomically

MAX_PIXELS = 64_000_000
"""A picture with more is refused before it is decoded: it may be a decompression bomb."""

PICTURE_SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
)
"""Files of a folder that every command takes for pictures."""
INSTALL_HEIC = 'install pillow-heif (pip install "handvae[heic]"), or export it as JPEG'
_BY_PILLOW = ("AVIF", "HEIF", "GIF", "TIFF")
"""Formats of which OpenCV decodes none or not every kind."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# the loader spreads whole pictures over threads: OpenCV's own threads would compete with them
cv2.setNumThreads(1)
# a damaged picture is reported once, by us
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
# as Pillow's documentation recommends
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


def inside(root: Path, name: str) -> Path:
    """`root / name`, checked to lie inside the root.

    A link that stands directly in the root may lead elsewhere: so people keep pictures on another disk.

    Raises:
        UserError: the name leaves the root, or no file can have it.
    """
    remedy = "use names below that folder"
    try:
        # links are followed first: one inside the root may point outside
        path = (root / name).resolve()
        path.exists()
        allowed = [root.resolve()]
        first = Path(name).parts[:1]
        if first and ".." not in Path(name).parts and (root / first[0]).is_symlink():
            target = (root / first[0]).resolve()
            # one that leads above the root would open all that lies there
            if not root.resolve().is_relative_to(target):
                allowed.append(target)
    except (OSError, ValueError, RuntimeError) as error:
        # too long, with a null byte, or a link to itself
        short = name if len(name) <= 80 else f"{name[:80]}..."
        raise UserError(root, f"file name {short!r} can be no file's", remedy) from error

    if not any(path.is_relative_to(folder) for folder in allowed):
        raise UserError(root, f"file name {name!r} leaves the data set's folder", remedy)

    return path


def read_picture(path: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode one picture to RGB.

    Raises:
        UserError: the file is missing, is no picture, is damaged, or is larger than `MAX_PIXELS`.
    """
    return decode_picture(_content(path), path)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as `read_picture` gives it, px; only its header is read.

    Raises:
        UserError: the file is missing or is no picture.
    """
    try:
        _require_regular(path)
        with Image.open(path) as header:
            width, height = header.size
            # cameras note how they were held; the pixels are turned when they are decoded
            turned = header.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except OSError as error:
        reason = error.strerror or "no picture that can be read"
        raise UserError(path, f"cannot read the picture ({reason})", "check the path") from error
    except (ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(path, "the picture is damaged", "replace the file") from error

    return (height, width) if turned else (width, height)


def read_plane(path: Path, dtype: type[np.unsignedinteger]) -> UInt[np.ndarray, "height width"]:
    """Decode one picture of one channel; errors as of `read_picture` and `decode_plane`."""
    return decode_plane(_content(path), path, dtype)


def _content(path: Path) -> bytes:
    try:
        _require_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise UserError(path, f"cannot read the picture ({error.strerror})", "check the path") from error


def _require_regular(path: Path) -> None:
    """Refuse a pipe, which would wait for ever, or a folder."""
    if path.exists() and not path.is_file():
        raise UserError(path, "is no regular file", "give a picture")


def decode_picture(content: bytes, where: str | Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode the content of a picture file to RGB.

    `where` names it in errors, which are those of `read_picture`.
    """
    return np.asarray(_decode(content, where, cv2.IMREAD_COLOR_RGB), np.uint8)


def decode_plane(
    content: bytes, where: str | Path, dtype: type[np.unsignedinteger]
) -> UInt[np.ndarray, "height width"]:
    """Decode a picture of one channel exactly, such as depth (uint16) or codes (uint8).

    Raises:
        UserError: as `read_picture`, or it has several channels or another number of bits.
    """
    pixels = _decode(content, where, cv2.IMREAD_UNCHANGED)
    if pixels.ndim != 2 or pixels.dtype != dtype:
        fault = f"has {1 if pixels.ndim == 2 else pixels.shape[2]} channels of {pixels.dtype}"
        raise UserError(where, fault, f"write one channel of {np.dtype(dtype)}")
    return pixels


def _decode(content: bytes, where: str | Path, flags: int) -> np.ndarray:
    _open_heif(content, where)
    try:
        # Pillow reads the header only
        with Image.open(io.BytesIO(content)) as header:
            kind = header.format
            width, height = header.size
            if width * height > MAX_PIXELS:
                fault = f"has {width} x {height} pixels, more than {MAX_PIXELS:,}"
                raise UserError(where, fault, "make it smaller first")
            # a PNG's checksums: libpng would print complaints of its own
            header.verify()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(where, f"has more than {MAX_PIXELS:,} pixels", "make it smaller first") from error
    except UnidentifiedImageError as error:
        raise UserError(
            where, "is not a picture that can be read", "give a JPEG, PNG, WebP, TIFF, GIF, AVIF or HEIC file"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(where, "the picture is damaged", "replace the file") from error

    # OpenCV does not turn an AVIF or HEIC picture as it is to be shown
    pixels = None
    in_colour = flags == cv2.IMREAD_COLOR_RGB
    if kind not in ("AVIF", "HEIF") or not in_colour:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    if pixels is None and kind in _BY_PILLOW and in_colour:
        pixels = _by_pillow(content)
    if pixels is None:
        raise UserError(where, "the picture is damaged", "replace the file")

    return pixels


def _open_heif(content: bytes, where: str | Path) -> None:
    """Let Pillow open a phone's HEIC picture.

    Raises:
        UserError: it is one, and the package that decodes it is not installed.
    """
    if content[4:8] != b"ftyp" or content[8:12] not in _HEIF_BRANDS or b"avif" in content[8:64]:
        return
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise UserError(where, "is a HEIC picture, which needs a package of its own", INSTALL_HEIC) from error


def _by_pillow(content: bytes) -> UInt8[np.ndarray, "height width 3"] | None:
    """Decode the first picture of a file of 8 bits to RGB; None where it is damaged or of another depth."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if picture.mode.startswith(("I", "F")):
                return None
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError, EOFError):
        return None


def write_picture(path: Path, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    """Write RGB pixels as PNG or JPEG (by the suffix), whole or not at all.

    Raises:
        UserError: the suffix is of neither.
    """
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
    kind = formats.get(path.suffix.lower())
    if kind is None:
        raise UserError(path, "has no suffix of a picture", f"end its name in {' or '.join(formats)}")

    write_atomically(path, lambda partial: Image.fromarray(pixels).save(partial, kind, quality=95))


def as_pixels(image: "np.ndarray") -> UInt8[np.ndarray, "height width 3"]:
    """(3, height, width) or (height, width, 3) floats in [0, 1] as 8-bit RGB, clipped."""
    # a first axis of 3 is taken for channels: no picture is 3 pixels high
    channels_last = np.moveaxis(image, 0, -1) if image.shape[0] == 3 else image
    return np.round(np.clip(channels_last, 0, 1) * 255).astype(np.uint8)


def declared_factor(declared: tuple[int, int] | None, actual: tuple[int, int]) -> float | None:
    """Pixels of a picture's file for each pixel that its labels count; None where no one factor fits.

    Args:
        declared: width and height that the labels are for; None where they do not say.
        actual: those of the file.
    """
    if declared is None or declared == actual:
        return 1.0

    # both axes agree if the declared size, scaled, rounds to the actual one
    factor = sum(actual) / sum(declared)
    fits = all(abs(side * factor - target) <= 1.0 for side, target in zip(declared, actual, strict=True))
    return factor if fits else None


def require_declared_size(path: Path, declared: tuple[int, int] | None, actual: tuple[int, int]) -> None:
    """Refuse a picture of another size than its labels are for.

    Args:
        path: the picture, for messages.
        declared: width and height that the labels are for, px; None where they do not say.
        actual: those of the file as it is decoded.

    Raises:
        UserError: the sizes differ.
    """
    if declared is not None and declared != actual:
        sizes = f"is {actual[0]} x {actual[1]} px, and its labels are for {declared[0]} x {declared[1]}"
        raise UserError(path, sizes, "mend width and height, and with them the keypoints")
