"""A sheet of the hands that a reader reads worst: python runs/worst_hands.py WILD docs/worst_hands.jpg

Each cell shows the reading in colours on the crop, and the labels in white; cells are sorted, the worst first.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from handvae.data.crop import cut
from handvae.data.open import open_data
from handvae.data.subset import with_known_sides
from handvae.evaluation.model_predictions import predict_hands
from handvae.hand import BONES
from handvae.inference.drawing import draw_skeleton, grid
from handvae.inference.model_sheets import caption
from handvae.training.checkpoint import load_model

CELL = 192
COLUMNS = 5


def main() -> None:
    """Read, sort, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="reader-128")
    parser.add_argument("--split", default="test")
    parser.add_argument("--count", type=int, default=20)
    options = parser.parse_args()

    reader = load_model(options.model).pose_estimator
    data = with_known_sides(open_data(options.dataset, options.split), options.dataset)
    predictions = predict_hands(reader, data)
    errors = predictions.errors.nanmean(1)
    worst = errors.nan_to_num(nan=-1.0).argsort(descending=True)[: options.count]
    images = cut(data, worst, reader.crop).require("image")

    cells, zoom = [], CELL / reader.crop.size_px
    for image, row in zip(images, worst.tolist(), strict=True):
        cell = np.round(255 * image.permute(1, 2, 0).numpy()).astype(np.uint8)
        cell = np.ascontiguousarray(cv2.resize(cell, (CELL, CELL), interpolation=cv2.INTER_CUBIC))
        truth = (predictions.target[row].numpy() * zoom).round().astype(int)
        for parent, child in BONES:
            cv2.line(cell, truth[parent].tolist(), truth[child].tolist(), (255, 255, 255), 1, cv2.LINE_AA)
        cell = draw_skeleton(cell, predictions.prediction[row].numpy() * zoom)
        cells.append(caption(cell, f"{float(errors[row]):.0f} %"))
        print(f"{data.name(row)}: {float(errors[row]):.1f} % of hand size")

    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    Image.fromarray(grid(rows)).save(options.out, quality=88)


if __name__ == "__main__":
    with torch.no_grad():
        main()
