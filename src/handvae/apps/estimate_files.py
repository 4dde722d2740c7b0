"""The files that `handvae estimate` reads, and those that it writes of each hand and of all."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from handvae.apps.progress import counted
from handvae.data.cloud import write_ply
from handvae.data.files.pictures import write_picture
from handvae.data.left_out import LeftOut, warn_of
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.inference.crops import HandCrop
from handvae.inference.estimator import Estimator, Located
from handvae.inference.plot_3d import plot_joints
from handvae.inference.result import Hand

RESULT, UNFINISHED = "estimate.json", "estimate.jsonl"
"""The list of all hands, and the lines that it is made of at the end."""
FILE_FIELDS = ("overlay", "plot_3d", "fitted_hand", "cloud")
"""Fields of an entry that name its files."""


class EstimateFolder:
    """The output folder: a line for each hand as it is read, one JSON file when all are.

    What an earlier run wrote there goes first; other files stay.

    Args:
        folder: is made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        for name in _earlier_files(folder):
            (folder / name).unlink(missing_ok=True)

    def add(self, entry: dict[str, Any]) -> None:
        """Keep a hand: from now on it outlives a killed process."""
        self.entries.append(entry)
        with (self.folder / UNFINISHED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def finish(self, content: dict[str, Any]) -> Path:
        """Write all hands as one JSON file; gives its path."""
        path = self.folder / RESULT
        write_text_atomically(path, json.dumps(content | {"hands": self.entries}, indent=1))
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        return path


def _earlier_files(folder: Path) -> list[str]:
    """Names of the files that an earlier run wrote into a folder."""
    entries: list[Any] = []
    # either may be missing, or no file of ours
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        entries += json.loads((folder / RESULT).read_text("utf-8"))["hands"]
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / UNFINISHED).read_text("utf-8").splitlines()
        entries += [json.loads(line) for line in lines if line.endswith("}")]

    named = [entry.get(field) for entry in entries if isinstance(entry, dict) for field in FILE_FIELDS]
    # names alone: whatever stands in a JSON file, nothing outside of the folder is touched
    files = [name for name in named if isinstance(name, str) and "/" not in name and "\\" not in name]
    files = [name for name in files if (folder / name).is_file()]
    return [*files, *((RESULT, UNFINISHED) if entries else ())]


def groups_of(
    estimator: Estimator, paths: Sequence[Path], located: Located, together: bool
) -> tuple[int, Iterator[list[HandCrop]]]:
    """How many hands there are, and the crops of each.

    Of several files, those that cannot be read are left out, which a warning says.

    Args:
        estimator: reads them.
        paths: the files.
        located: which hands they show, and where.
        together: all files show one hand.

    Raises:
        UserError: a single file cannot be read, or none of several can.
    """
    if together:
        crops = [crop for path in paths for crop in estimator.crop(path, located)]
        estimator.check_one_hand(crops)
        return 1, iter([crops])

    if len(paths) == 1:
        crops = estimator.crop(paths[0], located)
        return len(crops), iter([[crop] for crop in crops])

    # every file is checked before anything is written, then read again: a folder can be larger than memory
    count, sound, faults, left_out = 0, list[Path](), list[UserError](), LeftOut()
    for path in counted(paths, "files checked", len(paths)):
        try:
            count += len(estimator.crop(path, located))
            sound.append(path)
        except UserError as error:
            faults.append(error)
            left_out.add(f"which cannot be read: {error.fault}", path.name)

    if not sound:
        raise faults[0]
    if faults:
        warn_of(paths[0].parent, (left_out.line("files", len(paths)),))
    return count, ([crop] for path in sound for crop in estimator.crop(path, located))


def write_hand(stem: Path, hand: Hand) -> dict[str, Any]:
    """Write the pictures of a hand; return its entry of estimate.json, with their names.

    Args:
        stem: folder and beginning of the files' names.
        hand: what was read.
    """
    entry = hand.to_dict()
    overlay = stem.with_name(f"{stem.name}.png")
    write_picture(overlay, hand.draw())
    entry["overlay"] = overlay.name

    if hand.joints_3d is not None and hand.spread_3d is not None:
        plot = stem.with_name(f"{stem.name}_3d.png")
        write_picture(plot, plot_joints(hand.joints_3d, hand.spread_3d, "bone units"))
        entry["plot_3d"] = plot.name

    if hand.fitted is not None:
        picture = stem.with_name(f"{stem.name}_hand.png")
        write_picture(picture, hand.fitted.draw())
        entry["fitted_hand"] = picture.name

    if hand.cloud is not None:
        entry |= _write_cloud(stem.with_name(f"{stem.name}_cloud.ply"), hand)

    return entry


def _write_cloud(path: Path, hand: Hand) -> dict[str, str]:
    """The surface as a PLY file: in mm where the size of the hand is known."""
    assert hand.cloud is not None  # the caller has checked
    unit = "mm" if hand.unit_mm else "bone units"
    comment = f"visible surface relative to the {hand.root}, {unit}; x right, y down, z away"
    write_ply(path, hand.cloud * (hand.unit_mm or 1.0), comment)
    return {"cloud": path.name, "cloud_unit": unit}
