"""FreiHAND (Zimmermann et al., ICCV 2019): right hands of 32 people, 224 x 224 px, in space.

    ROOT/training/rgb/00000000.jpg      130,240: four versions of 32,560 pictures with other backgrounds
    ROOT/training/mask/00000000.jpg     32,560, of the first version
    ROOT/training_{K,xyz,scale}.json    32,560 entries each
    ROOT/evaluation/rgb/00000000.jpg    3,960
    ROOT/evaluation_{K,xyz,scale}.json

Protocols: `all` versions on disk, or one of `gs` (green screen), `hom`, `sample` and `auto` (other
backgrounds).
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from handvae.data.dataset import (
    GIVE_ORIGINAL,
    HandData,
    camera_labels,
    chosen_splits,
    require_choice,
    require_file,
    usable_numbers,
)
from handvae.data.files.json import read_json
from handvae.data.files.pictures import read_picture
from handvae.data.hands import DataSpec, Hands
from handvae.data.left_out import LeftOut
from handvae.errors import UserError
from handvae.hand import RIGHT, to_internal

UNUSABLE = "with a number that is missing or not finite"
AUTHORS = "https://lmb.informatik.uni-freiburg.de/projects/freihand"
VERSIONS = ("gs", "hom", "sample", "auto")
PROTOCOLS = ("all", *VERSIONS)
SIZE_PX = (224, 224)
FOLDERS = {"train": "training", "test": "evaluation"}
SPLITS = {folder: split for split, folder in FOLDERS.items()}
_SHAPES: dict[str, tuple[int, ...]] = {"K": (3, 3), "xyz": (21, 3), "scale": ()}
"""Of one entry of each JSON file."""


class FreihandHands(HandData):
    """FreiHAND in its own layout.

    Args:
        root: the folder that holds `training` or `evaluation`, and the JSON files.
        split: `train`, `test`, or None for every split on disk.
        protocol: `all` or a version; it concerns training only.

    Raises:
        UserError: something is missing or damaged.
    """

    def __init__(self, root: Path, split: str | None = None, protocol: str | None = None) -> None:
        self.root = root
        self.authors = AUTHORS
        protocol = require_choice(root, "protocol", protocol, PROTOCOLS)
        splits = chosen_splits(root, split, {name: root / folder for name, folder in FOLDERS.items()})
        intrinsics: list[np.ndarray] = []
        joints: list[np.ndarray] = []
        scales: list[np.ndarray] = []
        rows: list[np.ndarray] = []  # of each version, the numbers of its labels
        self._names: list[str] = []
        entries = 0
        left_out = LeftOut()

        for name in splits:
            folder = FOLDERS[name]
            camera, solid, scale, usable = self._read_labels(folder)
            count = len(camera)
            kept = np.flatnonzero(usable)
            for entry in np.flatnonzero(~usable).tolist():
                left_out.add(UNUSABLE, f"{folder} {entry}")

            for version in [0] if name == "test" else self._versions(protocol, count):
                # version v of entry i is picture v * count + i
                numbers = (version * count + kept).tolist()
                self._names += [f"{folder}/rgb/{number:08d}.jpg" for number in numbers]
                rows.append(entries + kept)

            intrinsics.append(camera)
            joints.append(solid)
            scales.append(scale)
            entries += count

        if not self._names:
            raise UserError(root, "has no entry that can be used", GIVE_ORIGINAL)
        if left_out:
            self.remarks = self.left_out = (left_out.line("entries", entries),)

        # metres to millimetres
        joints_3d = to_internal(torch.from_numpy(np.concatenate(joints)) * 1000, "freihand")
        scale_mm = torch.from_numpy(np.concatenate(scales)) * 1000
        labels = camera_labels(joints_3d, torch.from_numpy(np.concatenate(intrinsics)), RIGHT, SIZE_PX)
        self._labels = replace(labels, scale_mm=scale_mm)
        self._rows = torch.from_numpy(np.concatenate(rows))

        # masks exist for the first version only
        has_mask = splits == ("train",) and protocol == "gs" and (root / "training" / "mask").is_dir()
        pictures = ("image", "mask") if has_mask else ("image",)
        self.spec = DataSpec(
            name="freihand",
            count=len(self._rows),
            size_px=0,
            modalities=(*pictures, *(name for name, _ in self._labels.items())),
            sides="right",
            root="camera",
            licence="research only",
        )

    def __len__(self) -> int:
        return len(self._rows)

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; the versions of a picture share theirs."""
        return self._labels[self._rows[rows]]

    def name(self, row: int) -> str:
        """The picture's name below the root."""
        return self._names[row]

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return SPLITS[self._names[row].split("/")[0]]

    def files(self) -> Iterator[tuple[str, ...]]:
        """Of each row its picture, and its mask where masks are offered."""
        kinds = ("rgb", "mask") if "mask" in self.spec.modalities else ("rgb",)
        for name in self._names:
            folder, _, file = name.split("/")
            yield tuple(f"{self.root}/{folder}/{kind}/{file}" for kind in kinds)

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The whole picture of one row, RGB."""
        return read_picture(self.root / self._names[row])

    def mask(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """1 on the hand; offered for the version `gs`, the others look the same under it."""
        if "mask" not in self.spec.modalities:
            self._lacks("mask")
        values = read_picture(self.root / self._names[row].replace("/rgb/", "/mask/"))
        return (values[..., 0] > 127).astype(np.uint8)

    def _versions(self, protocol: str, count: int) -> list[int]:
        """Numbers of the protocol's versions; of `all`, those on disk (a converted set has one)."""
        if protocol != "all":
            return [VERSIONS.index(protocol)]
        rgb = require_file(self.root / "training" / "rgb", AUTHORS)
        stems = (name.removesuffix(".jpg") for name in os.listdir(rgb))
        # one picture of a version is enough: the others are then missing
        present = {int(stem) // count for stem in stems if stem.isdecimal()}
        return [0, *(number for number in range(1, len(VERSIONS)) if number in present)]

    def _read_labels(self, folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Intrinsics, joints in metres and the scale bone in metres of all entries, and which can be used."""
        parts = [self._read(f"{folder}_{part}.json", shape) for part, shape in _SHAPES.items()]
        camera, solid, scale = (values for values, _ in parts)
        if not len(camera) == len(solid) == len(scale):
            fault = f"has {len(solid)} entries, K {len(camera)}, scale {len(scale)}"
            raise UserError(self.root / f"{folder}_xyz.json", fault, GIVE_ORIGINAL)
        return camera, solid, scale, np.logical_and.reduce([usable for _, usable in parts])

    def _read(self, name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        path = require_file(self.root / name, AUTHORS)
        values, usable = usable_numbers(path, name, read_json(path), shape)
        if not usable.any():
            raise UserError(path, "holds no entry that can be used", GIVE_ORIGINAL)
        return values, usable
