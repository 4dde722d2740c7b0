"""`handvae data label`: a COCO-keypoints set from one's own photos or a video."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from handvae.apps.options import JsonOption, QuietOption, Rare, parse
from handvae.apps.output import output
from handvae.apps.progress import counted
from handvae.choices import Between, Folder, Side
from handvae.errors import UserError
from handvae.words import plural

if TYPE_CHECKING:
    from handvae.data.labelling.label import Labeller


@dataclass(frozen=True)
class Label:
    """Label photos or a video; look at review.png and left_out.txt in the folder before you train on it."""

    source: tyro.conf.Positional[Path]
    """A folder of pictures, a picture or a video."""
    out: Annotated[Path, Folder()]
    """Folder to write."""
    labeller: Literal["reader", "detector", "mediapipe"] | None = None
    """All hands of any picture by our finder and reader; one hand that fills the picture by another model of
    ours; or MediaPipe (a separate installation). By default the reader, or as --model is."""
    model: str | None = None
    """A shipped model, a .safetensors file or a run folder; reader-128, or detector-64 for `detector`."""
    side: Side | None = None
    """Which hand the pictures show; without it as the reader recognises, and right for a detector."""
    split: str = "train"
    """Split that the pictures belong to."""
    overwrite: bool = False
    """Replace the data set if it exists."""
    every: Annotated[int, Between(1)] = 5
    """Take every n-th frame of a video."""
    python: Rare[Path | None] = None
    """For `mediapipe`: the interpreter of the environment that has it, where that is not this one."""
    most_spread: Rare[Annotated[float, Between(1e-6, 1e6)]] = 0.1
    """Leave out hands whose label varies by more than this share of their size over mirrored and turned
    views."""
    larger_side: Rare[Annotated[int, Between(0)]] = 640
    """Shrink larger pictures to this many pixels; 0 keeps them."""
    json: JsonOption = False
    quiet: QuietOption = False


def main(arguments: Sequence[str]) -> None:
    """Parse, label, write the set and what a person should look at."""
    options = parse(Label, arguments, "handvae data label")
    if options.every < 1:
        raise UserError("--every", f"is {options.every}", "give at least 1")
    if options.larger_side < 0:
        raise UserError("--larger-side", f"is {options.larger_side}", "give 0 or more")
    if not options.most_spread > 0:
        raise UserError("--most-spread", f"is {options.most_spread}", "give a positive share")

    with output(options.quiet, options.json, options.out) as result, ExitStack() as stack:
        result(_label(options, open_labeller(options, stack)))


def _label(options: Label, labeller: "Labeller") -> dict[str, object]:
    """Label the pictures and write the set; gives its counts and files."""
    from handvae.data.export.formats import write_data
    from handvae.data.files.frames import read_frames
    from handvae.data.files.pictures import write_picture
    from handvae.data.hands import DataSpec
    from handvae.data.labelling.label import Review, label_pictures
    from handvae.files import add_to_manifest, write_text_atomically
    from handvae.inference.label_sheet import LabelSheet

    review, sheet = Review(), LabelSheet()
    solid = ("joints_3d",) if labeller.has_3d else ()
    modalities = ("image", "joints_2d", *solid, "joint_spread", "side")
    spec = DataSpec(options.out.resolve().name, 0, 0, modalities, "both", licence="yours")
    about = f"labelled by {labeller.name}"

    frames = counted(read_frames(options.source, options.every, options.larger_side), "pictures", None)
    hands = sheet.watch(label_pictures(labeller, frames, review, options.split, options.most_spread))

    try:
        sources = (options.source,)
        written = write_data(options.out, "coco", spec, hands, about, options.overwrite, sources)
    except UserError as error:
        if not review.pictures or len(review.left_out) < review.pictures:
            raise
        name, reason = review.left_out[0]
        fault = f"no picture gave a label, such as {name}: {reason}"
        raise UserError(options.source, fault, "see docs/own_photos.md") from error

    review_path, left_out_path = options.out / "review.png", options.out / "left_out.txt"
    add_to_manifest(options.out, review_path.name, left_out_path.name)
    write_picture(review_path, sheet.draw())
    lines = [f"{name}\t{reason}\n" for name, reason in review.left_out]
    write_text_atomically(left_out_path, "".join(lines))

    print(f"{plural(written.count, 'hand')} from {plural(review.pictures, 'picture')}: {options.out}")
    print(f"left out: {len(review.left_out)}, listed in {left_out_path}")
    print(f"look at the least certain labels: {review_path}")

    return {
        "out": options.out,
        "hands": written.count,
        "pictures": review.pictures,
        "left_out": len(review.left_out),
        "review": review_path,
    }


def open_labeller(options: Label, stack: ExitStack) -> "Labeller":
    """The labeller that the options name, closed with the stack."""
    if options.labeller == "mediapipe":
        from handvae.data.labelling.mediapipe import MediapipeLabeller

        return stack.enter_context(MediapipeLabeller(options.python))

    from handvae.hand import LEFT, RIGHT
    from handvae.inference.detector_labeller import DetectorLabeller
    from handvae.inference.finding import HandSearch
    from handvae.inference.reader_labeller import ReaderLabeller
    from handvae.inference.shipped import DETECTOR, READER
    from handvae.systems.hand_reader import HandReader
    from handvae.training.checkpoint import load_model

    model = load_model(options.model or (DETECTOR if options.labeller == "detector" else READER))
    estimator = model.pose_estimator
    if options.labeller == "reader" or (options.labeller is None and isinstance(estimator, HandReader)):
        return ReaderLabeller(HandSearch.open(reader=model), model.name, options.side)

    if "image" not in estimator.inputs:
        fault = f"{model.name} reads {' and '.join(estimator.inputs)}, no pictures"
        raise UserError("--model", fault, "give a model that reads photos, such as reader-128")
    return DetectorLabeller(estimator, model.name, LEFT if options.side == "left" else RIGHT)
