"""What `handvae estimate` does with its files: read each, write what is drawn, say what was found."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from handvae.apps.estimate_files import EstimateFolder, draw_sources
from handvae.apps.progress import counted
from handvae.choices import Drawings
from handvae.data.left_out import LeftOut, is_strict, warn_of
from handvae.errors import UserError
from handvae.inference.estimator import Estimator
from handvae.inference.locate import Located
from handvae.inference.pictures import PictureSource, source_name
from handvae.inference.reading import disagreement
from handvae.inference.result import Hand

FAR_APART = 1.0
"""Bone units between what two inputs of one hand give, above which the command warns."""


def read_each(
    estimator: Estimator,
    paths: Sequence[Path],
    located: Located,
    bone_mm: float | None,
    draw: Drawings,
    folder: EstimateFolder,
) -> None:
    """Read files into a folder; of several, those that cannot be read are left out with a warning.

    Raises:
        UserError: a single file cannot be read, or none of several can.
    """
    if is_strict():
        # all files are decoded once more than needed: nothing is to be written if one is refused
        for path in counted(paths, "files checked", len(paths)):
            estimator.check(path, located)

    faults, left_out = list[UserError](), LeftOut()

    def keep(source: PictureSource, error: UserError) -> None:
        faults.append(error)
        left_out.add(f"which cannot be read: {error.fault}", Path(source_name(source)).name)

    several = len(paths) > 1
    sources = counted(paths, "files read", len(paths)) if several else paths
    read = estimator.read_all(sources, located, bone_mm, keep if several else None)
    for number, (source, hands) in enumerate(read):
        name = source_name(source)
        if not hands:
            folder.add_empty(name)
            print(f"{name}: no hand found")
            continue

        stem = f"{number:04d}_{Path(name).stem}" if several else Path(name).stem
        entries = draw_sources(folder.folder / stem, hands, draw)
        for hand, entry in zip(hands, entries, strict=True):
            folder.add(entry)
            print(_line(hand, folder.folder, entry.get("overlay")))

    if faults and folder.is_empty:
        raise faults[0]
    if faults:
        warn_of(paths[0].parent, (left_out.line("files", len(paths)),))


def read_together(
    estimator: Estimator,
    paths: Sequence[Path],
    located: Located,
    bone_mm: float | None,
    draw: Drawings,
    folder: EstimateFolder,
) -> None:
    """Read files that show one hand, each in a way of its own, and fuse what they tell.

    Raises:
        UserError: a file cannot be read, or two are of one kind.
    """
    surest = replace(located, max_hands=1)
    crops = [crop for path in paths for crop in estimator.crop(path, surest)]
    estimator.check_one_hand(crops)
    if not crops:
        folder.add_empty(str(paths[0]))
        print(f"{paths[0]}: no hand found")
        return

    hand = estimator.read(crops[0], crops[1:], bone_mm)
    (entry,) = draw_sources(folder.folder / Path(crops[0].name).stem, [hand], draw)
    if len(crops) > 1:
        apart = disagreement(estimator.system, crops)
        entry["inputs_apart_bone_units"] = round(apart.bone_units, 3)
        if apart.bone_units > FAR_APART:
            names = f"{apart.first.name} and {apart.second.name}"
            warning = f"{names} are {apart.bone_units:.1f} bones apart: they may show different hands"
            print(f"warning: {warning}", file=sys.stderr)

    folder.add(entry)
    print(_line(hand, folder.folder, entry.get("overlay")))


def _line(hand: Hand, folder: Path, overlay: str | None) -> str:
    """One line on a hand."""
    recognised = "" if hand.side_score is None else f" ({hand.side_score:.0%} sure)"
    score = "" if hand.score is None else f", score {hand.score:.2f}"
    unit = "" if hand.crop.hands.joints_2d is not None else " px"
    spread = f"spread {hand.spread_2d.mean():.3g}{unit}"
    drawn = "" if overlay is None else f"; overlay {folder / overlay}"
    found = f"{hand.side} hand{recognised}{score}, crop from {hand.crop.located_by}"
    return f"{hand.crop.name}: {found}; {spread}{drawn}"
