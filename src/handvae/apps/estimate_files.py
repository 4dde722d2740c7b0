"""The files that `handvae estimate` reads, and those that it writes of each hand and of all."""

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handvae.choices import Drawings
from handvae.data.cloud import write_ply
from handvae.data.files.pictures import write_picture
from handvae.files import write_text_atomically
from handvae.inference.plot_3d import plot_joints
from handvae.inference.result import Hand, draw_hands

RESULT, UNFINISHED = "estimate.json", "estimate.jsonl"
"""The list of all hands, and the lines that it is made of at the end."""
FILE_FIELDS = ("overlay", "plot_3d", "fitted_hand", "cloud")
"""Fields of an entry that name its files."""


class EstimateFolder:
    """The output folder: a line for each hand as it is read, one JSON file when all are.

    What an earlier run wrote there goes when the first result of this one comes; other files stay.

    Args:
        folder: is made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: list[dict[str, Any]] = []
        self.without_hand: list[str] = []
        self._earlier = _earlier_files(folder)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been read yet."""
        return not self.entries and not self.without_hand

    def add(self, entry: dict[str, Any]) -> None:
        """Keep a hand: from now on it outlives a killed process."""
        self._begin({entry[field] for field in FILE_FIELDS if field in entry})
        self.entries.append(entry)
        with (self.folder / UNFINISHED).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def add_empty(self, name: str) -> None:
        """Note a picture without a hand."""
        self._begin(set())
        self.without_hand.append(name)

    def finish(self, content: dict[str, Any]) -> Path:
        """Write all hands as one JSON file; gives its path."""
        path = self.folder / RESULT
        found = {"hands": self.entries, "without_hand": self.without_hand}
        write_text_atomically(path, json.dumps(content | found, indent=1))
        (self.folder / UNFINISHED).unlink(missing_ok=True)
        return path

    def _begin(self, just_written: set[str]) -> None:
        """Remove what an earlier run left, before the first result is kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self._earlier:
            if name not in just_written:
                (self.folder / name).unlink(missing_ok=True)
        self._earlier = []


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


def draw_sources(stem: Path, hands: Sequence[Hand], draw: Drawings) -> list[dict[str, Any]]:
    """Write the pictures of the hands of one file; give their entries of estimate.json.

    Args:
        stem: folder and beginning of the files' names.
        hands: what was read.
        draw: what is drawn.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    stems = [stem] if len(hands) == 1 else [_numbered(stem, number) for number in range(len(hands))]
    entries = [hand.to_dict(fit=draw == "all") for hand in hands]
    if draw != "none":
        _write_overlays(stem, hands, entries)

    for hand, own, entry in zip(hands, stems, entries, strict=True):
        if draw == "all":
            entry |= _write_3d(own, hand)
        if hand.cloud is not None:
            entry |= _write_cloud(own.with_name(f"{own.name}_cloud.ply"), hand)
    return entries


def _numbered(stem: Path, number: int) -> Path:
    return stem.with_name(f"{stem.name}_{number + 1}")


def _write_overlays(stem: Path, hands: Sequence[Hand], entries: list[dict[str, Any]]) -> None:
    """One overlay for all hands of a picture; joints of a file have a drawing each."""
    drawings: dict[int, list[int]] = {}
    for row, hand in enumerate(hands):
        drawings.setdefault(id(hand.crop.pixels), []).append(row)

    for number, rows in enumerate(drawings.values()):
        own = stem if len(drawings) == 1 else _numbered(stem, number)
        path = own.with_name(f"{own.name}.png")
        write_picture(path, draw_hands([hands[row] for row in rows]))
        for row in rows:
            entries[row]["overlay"] = path.name


def _write_3d(stem: Path, hand: Hand) -> dict[str, Any]:
    """A plot of the joints in space, and our hand fitted to them; their names."""
    names = {}
    if hand.joints_3d is not None and hand.spread_3d is not None:
        plot = stem.with_name(f"{stem.name}_3d.png")
        write_picture(plot, plot_joints(hand.joints_3d, hand.spread_3d, "bone units"))
        names["plot_3d"] = plot.name

    if hand.fitted is not None:
        picture = stem.with_name(f"{stem.name}_hand.png")
        write_picture(picture, hand.fitted.draw())
        names["fitted_hand"] = picture.name

    return names


def _write_cloud(path: Path, hand: Hand) -> dict[str, str]:
    """The surface as a PLY file: in mm where the size of the hand is known."""
    assert hand.cloud is not None  # the caller has checked
    unit = "mm" if hand.unit_mm else "bone units"
    comment = f"visible surface relative to the {hand.root}, {unit}; x right, y down, z away"
    write_ply(path, hand.cloud * (hand.unit_mm or 1.0), comment)
    return {"cloud": path.name, "cloud_unit": unit}
