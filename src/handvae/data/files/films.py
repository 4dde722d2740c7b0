"""Films: frames with their times in, frames out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from handvae.data.files.frames import VIDEO_SUFFIXES
from handvae.data.files.pictures import MAX_PIXELS
from handvae.errors import UserError

USUAL_FPS = 30.0
"""Frames a second of films and cameras that do not tell."""
FPS_RANGE = (1.0, 1000.0)
"""What is believed of those that do."""

Pixels = UInt8[np.ndarray, "_ _ 3"]


@dataclass(frozen=True, eq=False)
class Film:
    """An open film or camera."""

    name: str
    fps: float
    _video: cv2.VideoCapture

    def frames(self) -> Iterator[tuple[Pixels, float]]:
        """RGB frames and their times, s; a frame that cannot be decoded is passed over."""
        number = 0
        while self._video.grab():
            decoded, pixels = self._video.retrieve()
            if decoded:
                yield np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8), number / self.fps
            number += 1


@contextmanager
def open_film(source: Path | int) -> Iterator[Film]:
    """Open a film, or a camera by its number.

    Raises:
        UserError: it is no film that can be read, or there is no such camera.
    """
    video = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    try:
        pixels = video.get(cv2.CAP_PROP_FRAME_WIDTH) * video.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if not video.isOpened() or not 0 < pixels <= MAX_PIXELS:
            if isinstance(source, int):
                fault = f"camera {source} cannot be opened"
                raise UserError(
                    "--camera", fault, "give the number of one that is plugged in, or a video file"
                )
            suffixes = ", ".join(sorted(VIDEO_SUFFIXES))
            raise UserError(source, "cannot be read as a video", f"give {suffixes}")

        fps = video.get(cv2.CAP_PROP_FPS)
        known = FPS_RANGE[0] <= fps <= FPS_RANGE[1]
        yield Film(str(source), fps if known else USUAL_FPS, video)
    finally:
        video.release()


class FilmWriter:
    """Writes an MP4 file, which has its name only when it is whole.

    Args:
        path: is replaced at the end.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path, self.fps = path, fps
        self._partial = path.with_name(f".{path.stem}.partial.mp4")
        self._writer: cv2.VideoWriter | None = None

    def add(self, pixels: Pixels) -> None:
        """Write one RGB frame, of the size of the first.

        Raises:
            UserError: no film can be written there.
        """
        if self._writer is None:
            height, width = pixels.shape[:2]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self._partial), codec, self.fps, (width, height))
            if not self._writer.isOpened():
                raise UserError(
                    self.path, "no film can be written there", "give another folder, or --draw none"
                )
        self._writer.write(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), np.uint8))

    def close(self, keep: bool = True) -> None:
        """Finish the film; without `keep` nothing is left of it."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None
        if keep and self._partial.exists():
            self._partial.replace(self.path)
        self._partial.unlink(missing_ok=True)
