"""2D joints by our detectors and by MediaPipe Hands, on the same crops of a labelled data set.

    python3 -m venv ENV && ENV/bin/pip install mediapipe==0.10.21
    python benchmarks/mediapipe_table.py DATA --python ENV/bin/python [--split test] [--models detector-64]

MediaPipe sees each crop at 256 px with a wide margin, because it looks for the hand itself. Our models see
their own crop and know
the hand's side. Both know where the hand is, so this compares reading, not finding.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from handvae.data.crop import Crop, cut, to_crop_px
from handvae.data.dataset import HandData
from handvae.data.files.pictures import as_pixels
from handvae.data.labelling.mediapipe import MediapipeLabeller
from handvae.data.open import open_data
from handvae.evaluation.pose import hand_size, joint_errors
from handvae.training.checkpoint import load_model

WIDE = Crop(256, margin=1.75)
"""What MediaPipe sees."""
BATCH = 64


def main() -> None:
    """Print a row for each detector."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default=None)
    parser.add_argument("--python", type=Path, required=True, help="the interpreter that has mediapipe")
    parser.add_argument("--models", nargs="+", default=["detector-64"])
    options = parser.parse_args()
    data = open_data(options.data, options.split)

    rows = {"MediaPipe Hands": mediapipe_errors(data, options.python)}
    rows |= {name: model_errors(data, name) for name in options.models}

    print(f"{options.data.name}, split {options.split}, N = {len(data)} hands")
    print("2D error of a hand: mean over labelled joints / sqrt of the area of the joints' box, in %")
    print(f"{'detector':<18}{'found':>9}{'median':>9}{'mean':>9}")
    for name, errors in rows.items():
        found = errors.isfinite()
        median, mean = errors[found].median(), errors[found].mean()
        print(f"{name:<18}{100 * found.float().mean():7.1f} %{100 * median:7.2f} %{100 * mean:7.2f} %")


def mediapipe_errors(data: HandData, python: Path) -> Float[Tensor, " hand"]:
    """The error of each hand over its size; NaN where MediaPipe finds none."""
    errors = []
    with MediapipeLabeller(python) as labeller:
        for row in range(len(data)):
            image, joints, valid = cut(data, torch.tensor([row]), WIDE).require_all(
                "image", "joints_2d", "joint_valid"
            )
            candidates = [
                over_hand_size(torch.from_numpy(hand.joints_2d).float()[None], joints, valid)
                for hand in labeller.hands(as_pixels(image[0].numpy()))
            ]

            # a crop may show a second hand: the better match is meant
            errors.append(torch.cat(candidates).min() if candidates else torch.tensor(float("nan")))
    return torch.stack(errors)


@torch.no_grad()
def model_errors(data: HandData, name: str) -> Float[Tensor, " hand"]:
    """The error of each hand over its size, by a 2D model of this package."""
    estimator = load_model(name).pose_estimator
    errors = []
    for rows in torch.arange(len(data)).split(BATCH):
        hands = cut(data, rows, estimator.crop)
        joints = to_crop_px(estimator.predict(hands).joints, estimator.crop.size_px)
        errors.append(over_hand_size(joints, *hands.require_all("joints_2d", "joint_valid")))
    return torch.cat(errors)


def over_hand_size(
    prediction: Float[Tensor, "batch joint 2"],
    truth: Float[Tensor, "batch joint 2"],
    valid: Bool[Tensor, "batch joint"],
) -> Float[Tensor, " batch"]:
    """Mean error of the labelled joints over the square root of the area of their box."""
    return joint_errors(prediction, truth, valid).nanmean(1) / hand_size(truth, valid)


if __name__ == "__main__":
    main()
