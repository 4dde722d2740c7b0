"""`handvae live`: hands of a camera, as they move."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from handvae.apps.options import DeviceOption, QuietOption, parse
from handvae.apps.output import output
from handvae.choices import Between, Folder, Suffix
from handvae.errors import UserError

if TYPE_CHECKING:
    from handvae.inference.finding import Picture

TITLE = "handvae live (Esc or q ends it)"


@dataclass(frozen=True)
class Options:
    """Read the hands that a camera sees, until Ctrl-C.

    A window shows them where there is a display and an OpenCV that can open one; elsewhere the newest frame
    is OUT/live.png.
    """

    camera: Annotated[str, tyro.conf.arg(metavar="NUMBER|VIDEO")] = "0"
    """Number of the camera; or a video file, which is read like one."""
    out: Annotated[Path, Folder()] = Path("out/live")
    """Folder for live.jsonl, a line for each frame, and live.png."""
    record: Annotated[Path | None, Suffix(".mp4")] = None
    """Film with skeletons that is written."""
    frames: Annotated[int | None, Between(1, 10**9)] = None
    """Frames after which it ends."""
    model: str = "reader-128"
    """The reader: a shipped model, a .safetensors file or a run folder."""
    max_hands: Annotated[int, Between(1, 1000)] = 4
    """Hands that are followed at once, at most."""
    min_score: Annotated[float, Between(0, 1)] = 0.5
    """Least probability of a hand."""
    smooth: bool = True
    """Smooth joints over time, by their spread."""
    device: DeviceOption = "cpu"
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, open, follow."""
    options = parse(Options, arguments, "handvae live")

    from handvae.apps.film import read_film
    from handvae.data.files.films import open_film
    from handvae.device import find_device
    from handvae.inference.finding import HandSearch
    from handvae.inference.tracking import HandTracker

    number = options.camera.isdecimal()
    source = int(options.camera) if number else Path(options.camera)
    if not number and not Path(options.camera).is_file():
        raise UserError("--camera", f"{options.camera} is neither a number nor a file", "give one of these")

    search = HandSearch.open(reader=options.model, device=find_device(options.device))
    tracker = HandTracker(search, options.min_score, options.max_hands, options.smooth)
    with output(options.quiet, out=options.out), open_film(source) as film:
        print("Ctrl-C ends it", flush=True)
        show = _window() or _picture(options.out / "live.png")
        lines = options.out / "live.jsonl"
        print(read_film(film, tracker, lines, options.record, options.frames, show))
        print(f"frames: {lines}" + ("" if options.record is None else f"; skeletons: {options.record}"))


def _window() -> Callable[["Picture"], bool] | None:
    """Shows frames in a window; None where there is no display, or an OpenCV without windows."""
    import cv2
    import numpy as np

    has_display = os.name == "nt" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not has_display or re.search(r"GUI: +NONE", cv2.getBuildInformation()):
        return None

    def show(picture: "Picture") -> bool:
        cv2.imshow(TITLE, np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)))
        return cv2.waitKey(1) not in (27, ord("q"))

    return show


def _picture(path: Path) -> Callable[["Picture"], bool]:
    """Keeps the newest frame as a picture."""
    from handvae.data.files.pictures import write_picture

    def show(picture: "Picture") -> bool:
        write_picture(path, picture)
        return True

    return show
