"""Writing data sets; a folder appears under its name when it is complete, or not at all."""

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from handvae import __version__
from handvae.data.pictures import write_picture
from handvae.errors import UserError
from handvae.hand import BONES, JOINT_NAMES


@dataclass(frozen=True)
class Labelled:
    """One picture of one hand with its labels."""

    pixels: UInt8[np.ndarray, "height width 3"]
    joints_px: Float[np.ndarray, "21 2"]
    side: str
    joints_mm: Float[np.ndarray, "21 3"] | None = None
    note: str = ""
    """Where pose and appearance come from; kept with the picture."""


def write_coco(folder: Path, hands: Iterable[Labelled], description: str, overwrite: bool = False) -> int:
    """Write COCO keypoints: `annotations.json` and `images/*.png`; returns the number of hands.

    Raises:
        UserError: the folder exists and holds something, and `overwrite` is not set, or what it holds is no data set.
    """
    _check_free(folder, overwrite)
    folder = folder.resolve()  # "." has no name to write beside
    partial, replaced = (folder.with_name(f".{folder.name}.{word}") for word in ("partial", "replaced"))
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / "images").mkdir(parents=True)
        images, annotations = [], []
        for number, hand in enumerate(hands, 1):
            name = f"images/{number:06d}.png"
            write_picture(partial / name, hand.pixels)
            height, width = hand.pixels.shape[:2]
            images.append({"id": number, "file_name": name, "width": width, "height": height, "license": 1, "note": hand.note})
            annotations.append(_annotation(number, hand))
        content = {
            "info": {"description": description, "version": f"handvae {__version__}"},
            "licenses": [{"id": 1, "name": "yours: synthetic pictures"}],
            "categories": [
                {"id": 1, "name": "hand", "keypoints": list(JOINT_NAMES), "skeleton": [[parent + 1, child + 1] for parent, child in BONES]}
            ],
            "images": images,
            "annotations": annotations,
        }
        (partial / "annotations.json").write_text(json.dumps(content))
        if folder.exists() and not any(folder.iterdir()):
            for name in ("images", "annotations.json"):  # an empty folder stays itself: it may be the one we stand in
                (partial / name).rename(folder / name)
        else:
            if folder.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                folder.rename(replaced)
            partial.rename(folder)
        shutil.rmtree(replaced, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return len(images)


def _check_free(folder: Path, overwrite: bool) -> None:
    """Only an empty folder is written into, and only a data set is ever replaced: `--out ~ --overwrite` must not cost a home."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise UserError(folder, "already exists", "give another --out, or --overwrite")
    if not (folder / "annotations.json").is_file():
        raise UserError(folder, "is no data set, so it is not replaced", "give another --out")


def _annotation(number: int, hand: Labelled) -> dict[str, object]:
    low, high = hand.joints_px.min(0), hand.joints_px.max(0)
    annotation: dict[str, object] = {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": len(JOINT_NAMES),
        "bbox": [round(float(value), 3) for value in (*low, *(high - low))],
        "area": round(float(np.prod(high - low)), 3),
        "keypoints": [value for x, y in hand.joints_px.tolist() for value in (round(x, 3), round(y, 3), 2)],
        "hand_side": hand.side,
    }
    if hand.joints_mm is not None:
        annotation["keypoints_3d"] = [[round(value, 3) for value in joint] for joint in hand.joints_mm.tolist()]
    return annotation
