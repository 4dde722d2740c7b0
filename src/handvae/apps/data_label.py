"""`handvae data label`: a COCO-keypoints set from one's own photos or a video."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
import tyro
from jaxtyping import UInt8

from handvae.apps.options import parse
from handvae.apps.progress import counted
from handvae.data.crop import in_own_crop, to_crop_px, warp
from handvae.data.export.formats import write_data
from handvae.data.files.frames import read_frames
from handvae.data.files.pictures import write_picture
from handvae.data.hands import DataSpec, Hands
from handvae.data.labelling.label import TURNED, VIEWS, LabelledHand, Labeller, Review, Vote, label_pictures
from handvae.data.labelling.mediapipe import MediapipeLabeller
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.geometry import apply_affine, crop_affine, invert_affine
from handvae.hand import LEFT, RIGHT
from handvae.inference.drawing import draw_skeleton, grid
from handvae.systems.system import PoseEstimator
from handvae.training.checkpoint import load_model

ROUNDS = 3
"""The whole picture is read first, then twice the box of the joints found before."""
SHEET, TILE = 48, 160


@dataclass(frozen=True)
class Label:
    """Label photos or a video; look at review.png and left_out.txt in the folder before you train on it."""

    source: tyro.conf.Positional[Path]
    """A folder of pictures, a picture or a video."""
    out: Path
    """Folder to write."""
    labeller: Literal["detector", "mediapipe"] = "detector"
    """`detector`: our model, for one hand that fills the picture; `mediapipe`: finds up to two hands anywhere
    (a separate installation)."""
    model: str = "detector-64"
    """For `detector`: a shipped model, a .safetensors file or a run folder."""
    side: Literal["left", "right"] = "right"
    """For `detector`: which hand the pictures show."""
    python: Path | None = None
    """For `mediapipe`: the interpreter of the environment that has it, where that is not this one."""
    most_spread: float = 0.1
    """Leave hands out whose label moves by more than this share of their size when the picture is mirrored or
    turned."""
    every: int = 5
    """Take each so many-th frame of a video."""
    larger_side: int = 640
    """Shrink larger pictures to this many pixels; 0 keeps them."""
    split: str = "train"
    """Split that the set's pictures belong to."""
    overwrite: bool = False
    """Replace the data set if it is there."""


def main(arguments: Sequence[str]) -> None:
    """Parse, label, write the set and what is to be looked at."""
    options = parse(Label, arguments, "handvae data label")
    if options.every < 1 or options.larger_side < 0 or not options.most_spread > 0:
        raise UserError(
            "command line",
            "--every is at least 1, --larger-side not negative, --most-spread positive",
            "change that option",
        )
    with ExitStack() as stack:
        labeller = open_labeller(options, stack)
        review, sheet = Review(), Sheet()
        solid = ("joints_3d",) if labeller.has_3d else ()
        spec = DataSpec(
            options.out.resolve().name,
            0,
            0,
            ("image", "joints_2d", *solid, "joint_spread", "side"),
            "both",
            licence="yours",
        )
        pictures = counted(read_frames(options.source, options.every, options.larger_side), "pictures", None)
        hands = seen_by(sheet, label_pictures(labeller, pictures, review, options.split, options.most_spread))
        try:
            written = write_data(
                options.out, "coco", spec, hands, f"labelled by {labeller.name}", options.overwrite
            )
        except UserError as error:
            if review.pictures and len(review.left_out) >= review.pictures:
                name, why = review.left_out[0]
                raise UserError(
                    options.source,
                    f"no picture gave a label, such as {name}: {why}",
                    "see docs/own_photos.md",
                ) from error
            raise
    write_picture(options.out / "review.png", sheet.draw())
    write_text_atomically(
        options.out / "left_out.txt", "".join(f"{name}\t{why}\n" for name, why in review.left_out)
    )
    print(f"{written.count} hands from {review.pictures} pictures: {options.out}")
    print(f"left out: {len(review.left_out)}, listed in {options.out / 'left_out.txt'}")
    print(f"look at the least sure labels: {options.out / 'review.png'}")


def open_labeller(options: Label, stack: ExitStack) -> Labeller:
    """The labeller that was asked for, closed with the stack."""
    match options.labeller:
        case "mediapipe":
            return stack.enter_context(MediapipeLabeller(options.python))
        case "detector":
            return DetectorLabeller(
                load_model(options.model).reader, options.model, LEFT if options.side == "left" else RIGHT
            )


class DetectorLabeller(Labeller):
    """A model of ours that reads crops, for pictures that one hand fills; a model of one side reads the other
    through a mirror."""

    def __init__(self, reader: PoseEstimator, name: str, side: int) -> None:
        self.reader, self.name, self.side = reader, name, side
        self.views = VIEWS if reader.spec.sides == "both" else TURNED
        self.mirror = reader.spec.sides != "both" and side != (LEFT if reader.spec.sides == "left" else RIGHT)

    def hands(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Sequence[LabelledHand]:
        """The one hand, read from the whole picture and then from where it was found."""
        size_px, margin = self.reader.crop.size_px, self.reader.crop.margin
        height, width = pixels.shape[:2]
        shown = np.ascontiguousarray(pixels[:, ::-1]) if self.mirror else pixels
        centre, side = torch.tensor([[width / 2, height / 2]]), torch.tensor([float(max(width, height))])
        joints = centre[:, None]
        for _ in range(ROUNDS):
            affine = crop_affine(centre, side, size_px)
            crop = (
                torch.from_numpy(warp(shown, affine[0].numpy(), size_px)).permute(2, 0, 1)[None].float() / 255
            )
            flat = self.reader.predict_uncalibrated(Hands(image=crop)).joints
            if self.reader.pose == "3d":
                flat = in_own_crop(flat[..., :2], margin)
            joints = apply_affine(to_crop_px(flat, size_px), invert_affine(affine))
            low, high = joints.amin(1), joints.amax(1)
            centre, side = (low + high) / 2, (high - low).amax(1).clamp_min(8) * margin
        found = joints[0].numpy().astype(np.float64)
        return [
            LabelledHand(
                np.column_stack([width - found[:, 0], found[:, 1]]) if self.mirror else found, self.side
            )
        ]


@dataclass(order=True)
class _Tile:
    """A hand on the sheet; those with the smallest `rank` leave first."""

    rank: tuple[float, int]
    pixels: np.ndarray = field(compare=False)


class Sheet:
    """The hands whose labels are the least sure, drawn as they come."""

    def __init__(self) -> None:
        self.tiles: list[_Tile] = []
        self.count = 0

    def add(self, sample: Sample, vote: Vote) -> None:
        """Draw a hand, unless there are enough worse ones."""
        self.count += 1
        rank = (vote.relative, -self.count)
        if len(self.tiles) < SHEET or rank > self.tiles[0].rank:
            heapq.heappush(self.tiles, _Tile(rank, _tile(sample, vote, self.count)))
        if len(self.tiles) > SHEET:
            heapq.heappop(self.tiles)

    def draw(self) -> UInt8[np.ndarray, "height width 3"]:
        """All of them, the least sure first."""
        tiles = [tile.pixels for tile in sorted(self.tiles, reverse=True)]
        return grid([tiles[start : start + 8] for start in range(0, len(tiles), 8)])


def seen_by(sheet: Sheet, hands: Iterable[tuple[Sample, Vote]]) -> Iterator[Sample]:
    """The samples, each shown to the sheet on its way."""
    for sample, vote in hands:
        sheet.add(sample, vote)
        yield sample


def _tile(sample: Sample, vote: Vote, number: int) -> UInt8[np.ndarray, "side side 3"]:
    """The hand cut out with its joints, spread as circles, side and number (of its file in images/)."""
    assert sample.image is not None
    joints = vote.hand.joints_2d
    centre = torch.from_numpy((joints.min(0) + joints.max(0)) / 2)[None].float()
    side = max(vote.size_px, 8.0) * 1.6
    affine = crop_affine(centre, torch.tensor([side]), TILE)[0].numpy()
    moved = joints @ affine[:, :2].T + affine[:, 2]
    tile = draw_skeleton(warp(sample.image, affine, TILE), moved - 0.5, vote.spread_px * TILE / side)
    text = f"{number} {'L' if sample.side == LEFT else 'R'} {100 * vote.relative:.0f}%"
    for colour, thick in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(tile, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, thick, cv2.LINE_AA)
    return tile
