"""How fast hands are found and read: a photo, a folder, a film; with two threads, after warm-up, in one run.

python benchmarks/reading.py
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
import torch

import handvae
from handvae.data.files.pictures import read_picture
from handvae.inference.finding import HandSearch
from handvae.inference.square import Square
from handvae.inference.tracking import HandTracker

SIZE = (800, 600)
"""Width and height of the photo, px."""
FOLDER = 32
FRAMES = 100


def seconds(run: Callable[[], object], times: int = 10) -> float:
    """Median time of a call."""
    run()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(2)
    # a hand that fills a third of the photo, before what its own border is
    hand = cv2.resize(read_picture(handvae.sample_photos()[1]), (260, 260), interpolation=cv2.INTER_CUBIC)
    photo = cv2.copyMakeBorder(hand, 170, 170, 270, 270, cv2.BORDER_REPLICATE)
    assert photo.shape[1::-1] == SIZE
    photo = np.asarray(photo, np.uint8)

    search = HandSearch.open()
    (found,) = search.find([photo])
    print(f"hands found in the photo: {len(found)}")

    one = seconds(lambda: search.find([photo]))
    reading = seconds(lambda: search.look([photo], [[Square((400.0, 300.0), 350.0)]]))
    folder = seconds(lambda: search.find([photo] * FOLDER), 2) / FOLDER
    single = seconds(lambda: handvae.estimate(photo, box=(270, 170, 260, 260)))

    tracker = HandTracker(search)
    began = time.perf_counter()
    for frame in range(FRAMES):
        tracker.update(photo, frame / 25)
    film = FRAMES / (time.perf_counter() - began)

    ratio = f"{one / reading:.1f} times a reading of one square ({1000 * reading:.0f} ms)"
    print(f"one photo of {SIZE[0]} x {SIZE[1]}: {1000 * one:.0f} ms, {ratio}")
    print(f"estimate with a box: {1000 * single:.0f} ms")
    print(f"a folder: {1 / folder:.0f} photos a second, {one / folder:.2f} times as fast as one by one")
    print(f"a film: {film:.0f} frames a second")


if __name__ == "__main__":
    main()
