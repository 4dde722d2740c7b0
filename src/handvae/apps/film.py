"""Hands of a film or a camera, frame by frame: a line of JSON each, and a film with skeletons."""

import json
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from handvae.apps.output import output
from handvae.apps.progress import counted
from handvae.data.files.films import Film, FilmWriter, open_film
from handvae.data.files.frames import VIDEO_SUFFIXES
from handvae.device import find_device
from handvae.errors import UserError
from handvae.inference.films import draw_frame, frame_entry
from handvae.inference.finding import HandSearch, Picture
from handvae.inference.shipped import READER
from handvae.inference.tracking import HandTracker, track_hands
from handvae.words import plural

if TYPE_CHECKING:
    from handvae.apps.estimate_options import Options


def film_in(files: Sequence[Path]) -> Path | None:
    """The video among files; None where there is none.

    Raises:
        UserError: there are other files beside it.
    """
    films = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()]
    if films and len(files) > 1:
        raise UserError(films[0], "is a video, and other files are given with it", "give it by itself")
    return films[0] if films else None


def read_video(options: "Options", path: Path) -> None:
    """`handvae estimate` of a video: NAME.jsonl, and NAME.mp4 with skeletons where something is drawn.

    Raises:
        UserError: it cannot be read, or an option of photos is given.
    """
    if options.box is not None or options.together:
        name = "--together" if options.together else "--box"
        raise UserError(name, "is of photos, and a video is given", "leave it out")

    search = HandSearch.open(reader=options.model or READER, device=find_device(options.device))
    tracker = HandTracker(search, options.min_score, options.max_hands, options.smooth)
    lines = options.out / f"{path.stem}.jsonl"
    drawn = None if options.draw == "none" else options.out / f"{path.stem}.mp4"

    with output(options.quiet, options.json, options.out) as result, open_film(path) as film:
        said = read_film(film, tracker, lines, drawn)
        print(said)
        print(f"frames: {lines}" + ("" if drawn is None else f"; skeletons: {drawn}"))
        result({"frames": str(lines), "video": None if drawn is None else str(drawn)})


def read_film(
    film: Film,
    tracker: HandTracker,
    lines: Path,
    drawn: Path | None,
    most: int | None = None,
    show: Callable[[Picture], bool] = lambda picture: True,
) -> str:
    """Read a film to its end; say in a line how many frames and hands there were, and how fast it went.

    Both files have their names only when the film is read, or when the user stops it with Ctrl-C.

    Args:
        film: is read.
        tracker: finds and follows its hands.
        lines: JSON-lines file, a line a frame.
        drawn: film with skeletons; None for none.
        most: frames, at most; None reads all.
        show: is given each drawn frame, and says whether to go on.
    """
    lines.parent.mkdir(parents=True, exist_ok=True)
    partial = lines.with_name(f".{lines.name}.reading")
    writer = None if drawn is None else FilmWriter(drawn, film.fps)
    frames, tracks, whole = 0, set[int](), False
    began = time.perf_counter()

    try:
        with partial.open("w", encoding="utf-8") as file:
            read = track_hands(islice(film.frames(), most), tracker)
            for frames, (picture, seconds, hands) in enumerate(counted(read, "frames read", most), 1):
                file.write(json.dumps(frame_entry(frames - 1, seconds, hands)) + "\n")
                tracks |= {hand.track for hand in hands}
                overlay = draw_frame(picture, hands)
                if writer is not None:
                    writer.add(overlay)
                if not show(overlay):
                    break
        whole = True
    except KeyboardInterrupt:
        # what was seen of a camera, or of a long film, is kept
        whole = frames > 0
    finally:
        if writer is not None:
            writer.close(keep=whole)
        if whole:
            partial.replace(lines)
        partial.unlink(missing_ok=True)

    a_second = frames / max(time.perf_counter() - began, 1e-9)
    counts = f"{plural(frames, 'frame')}, {plural(len(tracks), 'hand')}"
    return f"{film.name}: {counts}, {a_second:.1f} a second"
