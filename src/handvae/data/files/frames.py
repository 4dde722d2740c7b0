"""Pictures of a folder, or frames of a video, one after another."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.data.files.pictures import MAX_PIXELS, PICTURE_SUFFIXES, read_picture
from handvae.errors import DataWarning, UserError

VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm"}

# a damaged video is reported once, by us
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True)
class Frame:
    """A picture with its name, or why it cannot be read."""

    name: str
    pixels: UInt8[np.ndarray, "height width 3"] | None
    fault: str = ""


def read_frames(source: Path, every: int = 1, larger_side: int = 0) -> Iterator[Frame]:
    """Read a picture, a folder of pictures in order of name, or a video, one picture at a time.

    Args:
        source: file or folder.
        every: take every n-th frame of a video.
        larger_side: shrink larger pictures to this many pixels; 0 keeps them.

    Raises:
        UserError: there is no picture, or the video cannot be opened; a single bad picture is a `Frame`
            with a fault.
    """
    is_video = source.suffix.lower() in VIDEO_SUFFIXES and source.is_file()
    for frame in _video_frames(source, every) if is_video else _pictures(source):
        if frame.pixels is None or not larger_side:
            yield frame
        else:
            yield Frame(frame.name, _shrunk(frame.pixels, larger_side))


def list_pictures(folder: Path, below: bool = False) -> list[Path]:
    """The pictures of a folder, in order of name; a warning counts what else it holds, by kind.

    Hidden files are passed over. A suffix decides: a file that is damaged is in the list.

    Args:
        folder: where they lie.
        below: also in its folders.

    Raises:
        UserError: it holds no picture.
    """
    pictures: list[Path] = []
    skipped: Counter[str] = Counter()
    for path in folder.rglob("*") if below else folder.iterdir():
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file():
            pictures.append(path)
        else:
            skipped[_kind_of(path)] += 1

    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(skipped.items()))
    if not pictures:
        others = f" ({counts})" if skipped else ""
        suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
        remedy = f"give a folder with {suffixes} files, or a video"
        raise UserError(folder, f"holds no picture{others}", remedy)
    if skipped:
        files = "1 file that is no picture is" if skipped.total() == 1 else "files that are no pictures are"
        warnings.warn(f"{folder}: {files} skipped: {counts}", DataWarning, stacklevel=2)

    return sorted(pictures)


def _kind_of(path: Path) -> str:
    if not path.is_file():
        return "no regular file"
    suffix = path.suffix.lower()
    return (
        f"{suffix} (a video: give it by itself)" if suffix in VIDEO_SUFFIXES else suffix or "without suffix"
    )


def _shrunk(
    pixels: UInt8[np.ndarray, "height width 3"], larger_side: int
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """A picture with at most this many pixels on its larger side."""
    height, width = pixels.shape[:2]
    zoom = larger_side / max(height, width)
    if zoom >= 1:
        return pixels
    # a very long picture keeps at least one pixel of its short side
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def _pictures(source: Path) -> Iterator[Frame]:
    if source.is_dir():
        paths = list_pictures(source)
    elif source.is_file():
        paths = [source]
    else:
        raise UserError(source, "no such file or folder", "check the path")

    for path in paths:
        try:
            yield Frame(path.name, read_picture(path))
        except UserError as error:
            yield Frame(path.name, None, error.fault)


def _video_frames(source: Path, every: int) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(source))
    try:
        pixels_a_frame = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not video.isOpened() or not 0 < pixels_a_frame <= MAX_PIXELS:
            suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
            raise UserError(source, "cannot be read as a video", f"give {suffixes}, or a folder of pictures")

        # grabbing is cheap: only every n-th frame is decoded
        number = 0
        while video.grab():
            if number % every == 0:
                decoded, pixels = video.retrieve()
                name = f"{source.name} frame {number}"
                if decoded:
                    yield Frame(name, np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8))
                else:
                    yield Frame(name, None, "is damaged")

            number += 1

        if not number:
            raise UserError(source, "holds no frame that can be read", "give another video")
    finally:
        video.release()
