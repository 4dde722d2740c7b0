"""Networks that see bright rectangles as hands: what is found, read and followed can be told beforehand."""

import numpy as np
import pytest
import torch

from handvae.data.crop import Crop
from handvae.inference.finding import HandSearch
from handvae.systems.hand_finder import Found, HandFinder, HandFinderConfig
from handvae.systems.hand_reader import HandReader, HandReaderConfig, Observation

UNIT = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 7), torch.linspace(-1, 1, 3), indexing="ij"), -1)
"""Joints of a square hand from -1 to 1."""


def bright_box(image):
    """Left, upper, right and lower end of what is bright in one picture, px; None if nothing is."""
    rows, columns = (image.mean(0) > 0.35).nonzero(as_tuple=True)
    if len(rows) < 4:
        return None
    return tuple(float(end) for end in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))


@pytest.fixture
def search(tiny_spec, monkeypatch) -> HandSearch:
    """A finder of bright rectangles; a reader that puts joints on their border, of red ones as left hands."""

    def find(self, image, least, most):
        assert len(image) == 1
        found = []
        width = image.shape[-1]
        for part in range(2):  # one in each half
            half = torch.zeros_like(image[0])
            half[..., part * width // 2 : (part + 1) * width // 2] = 1
            box = bright_box(image[0] * half)
            if box is not None:
                found.append(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, box[2] - box[0], box[3] - box[1]))
        values = torch.tensor(found).reshape(-1, 4)
        ones = torch.ones(len(found))
        return [Found(ones, values[:, :2], values[:, 2:], ones, ones)]

    def observe(self, image):
        joints, right, present = [], [], []
        size = image.shape[-1]
        for one in image:
            box = bright_box(one)
            # not a speck, and one rectangle alone
            here = box is not None and (box[2] - box[0]) > 0.4 * size
            if here:
                left, top, end, bottom = (round(part) for part in box)
                here = bool((one.mean(0) > 0.35)[top:bottom, left:end].float().mean() > 0.7)
            left, top, end, bottom = box if here else (0, 0, size, size)
            middle = torch.tensor([(left + end) / 2, (top + bottom) / 2])
            half = torch.tensor([(end - left) / 2, (bottom - top) / 2])
            flat = (UNIT.reshape(21, 2) * half + middle) * (2 / size) - 1
            joints.append(torch.cat([flat, torch.zeros(21, 1)], 1))
            present.append(0.999 if here else 0.1)
            bright = one[:, one.mean(0) > 0.35].mean(1) if here else one.mean((1, 2))
            right.append(0.2 if bright[0] > bright[2] + 0.1 else 0.7)
        shape = (len(image), 21, 3)
        return Observation(
            torch.stack(joints), torch.full(shape, 0.03), torch.tensor(right), torch.tensor(present)
        )

    monkeypatch.setattr(HandFinder, "find", find)
    monkeypatch.setattr(HandReader, "observe", observe)
    torch.manual_seed(0)
    finder = HandFinder(
        HandFinderConfig(widths=(8, 8, 16, 16), blocks=(0, 0, 0)), tiny_spec, Crop(64, 1.0, box="picture")
    )
    reader = HandReader(
        HandReaderConfig(widths=(8, 16, 16, 16), blocks=(1, 0, 0), hidden=16, norm="group"),
        tiny_spec,
        Crop(32),
    )
    search = HandSearch(finder, reader)
    monkeypatch.setattr(HandSearch, "open", classmethod(lambda cls, *_, **__: search))
    return search


def picture(*boxes, size=(200, 120), colour=(255, 255, 255)):
    """Rectangles (left, top, right, bottom) on black."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = colour
    return pixels
