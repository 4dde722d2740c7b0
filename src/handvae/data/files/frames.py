"""Pictures of a folder, or frames of a video, one after another."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.data.files.pictures import MAX_PIXELS, read_picture
from handvae.errors import UserError

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
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
        paths = sorted(
            path for path in source.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        )
        if not paths:
            suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
            raise UserError(source, "holds no picture", f"give a folder with {suffixes} files, or a video")
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
