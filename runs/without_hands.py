"""Regions of a data set's pictures that show no hand, as a folder of photos: what presence is learned from.

Regions lie away from labelled hands; those that a trained reader takes for a hand are left out, as not every
hand of such pictures is labelled.

python runs/without_hands.py WILD/pictures.json out/reader/without_hands --reader out/reader/first/model.safetensors
"""

import argparse
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

from handvae.data.files.pictures import write_picture
from handvae.data.without_hands import WithoutHands, open_without_hands
from handvae.systems.hand_reader import HandReader
from handvae.training.checkpoint import load_model

LARGEST_PX = 288
"""Side of the pictures that are written, at most."""
SMALLEST_PX = 24
BATCH = 64
CLOSER = 1 / 8
"""Share of a region that is cut off on each side for a second look."""


def regions(data: WithoutHands):
    """Each region's number and pixels."""
    joints = data.labels(torch.arange(len(data))).require("joints_2d").numpy()
    name, whole = None, None
    for row in range(len(data)):
        if data.name(row) != name:
            name, whole = data.name(row), data.picture(row)
        left, top = np.floor(joints[row].min(0)).astype(int)
        right, bottom = np.ceil(joints[row].max(0)).astype(int)
        part = whole[max(top, 0) : bottom, max(left, 0) : right]
        if min(part.shape[:2]) >= SMALLEST_PX:
            yield row, part


def shows_hand(reader: HandReader, parts: list[np.ndarray]) -> torch.Tensor:
    """The larger probability of a hand of two looks."""
    size = reader.crop.size_px
    looks = []
    for part in parts:
        height, width = part.shape[:2]
        y, x = round(CLOSER * height), round(CLOSER * width)
        looks += [part, part[y : height - y, x : width - x]]
    squares = np.stack([cv2.resize(look, (size, size), interpolation=cv2.INTER_AREA) for look in looks])
    image = torch.from_numpy(squares).permute(0, 3, 1, 2).float() / 255
    return reader.observe(image).present.reshape(-1, 2).amax(1)


def main() -> None:
    """Write the regions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--reader", default="reader-128")
    options = parser.parse_args()

    reader = load_model(options.reader).system
    data = open_without_hands([options.dataset], "train")
    options.out.mkdir(parents=True, exist_ok=True)
    rest, kept, seen = regions(data), 0, 0
    while part := list(islice(rest, BATCH)):
        scores = shows_hand(reader, [pixels for _, pixels in part])
        seen += len(part)
        for (row, pixels), score in zip(part, scores.tolist(), strict=True):
            if score < 0.5:
                zoom = min(1, LARGEST_PX / max(pixels.shape[:2]))
                small = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
                write_picture(options.out / f"{row:06d}.jpg", np.ascontiguousarray(small))
                kept += 1
    print(f"{kept} of {seen} regions without hands: {options.out}")


if __name__ == "__main__":
    main()
