"""Reads the hands of a photo with ONNX Runtime, NumPy and OpenCV alone: python read_photo.py FINDER READER PHOTO

FINDER and READER are folders that `handvae export finder-256` and `handvae export reader-128` have written. Printed is,
for each hand, a line of JSON: side, score, 21 joints x, y in px and their depth from the wrist in bone units.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime

LEAST, LEAST_AT_FIRST, CANDIDATE, SAME_HAND, SMALLEST_PX = 0.5, 0.02, 0.1, 0.4, 8.0


def cut(photo, middle, side, size):
    """A square of the photo, as a batch of one; where the photo ends its border is repeated."""
    zoom = size / side
    matrix = np.array([[zoom, 0, size / 2 - zoom * middle[0]], [0, zoom, size / 2 - zoom * middle[1]]])
    if zoom < 0.5:  # bilinear sampling alone would skip pixels
        height, width = photo.shape[:2]
        small = max(1, round(2 * zoom * width)), max(1, round(2 * zoom * height))
        matrix[:, :2] *= [width / small[0], height / small[1]]
        photo = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
    matrix[:, 2] += 0.5 * matrix[:, :2].sum(1) - 0.5  # OpenCV's pixels are points, ours are squares
    crop = cv2.warpAffine(photo, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop.transpose(2, 0, 1)[None].astype(np.float32) / 255


def places(find, photo, margin):
    """Squares that may show a hand: middle and side, px; the whole photo first."""
    height, width = photo.shape[:2]
    whole, side, size = np.array([width / 2, height / 2]), float(max(width, height)), 256
    heat, offset, log_size, _, _ = (part[0] for part in find.run(None, {"image": cut(photo, whole, side, size)}))
    is_peak = cv2.dilate(heat, np.ones((3, 3))) == heat
    rows, columns = np.nonzero(is_peak & (heat >= CANDIDATE))
    found = [(whole, side)]
    for y, x in sorted(zip(rows, columns), key=lambda cell: -heat[cell])[:24]:
        at = (np.array([x, y]) + 0.5 + offset[:, y, x]) * 8 / size - 0.5
        found.append((whole + at * side, max(float(np.exp(log_size[:, y, x]).max()) * side * margin, SMALLEST_PX)))
    return found


def read_at(read, photo, middle, side):
    """A hand: joints (21, 3) in px and bone units, probability of a right hand, score."""
    joints, spread, right, present = (part[0] for part in read.run(None, {"image": cut(photo, middle, side, 128)}))
    extent = max(np.ptp(joints[:, :2], axis=0).max(), 1e-3)
    relative = np.sqrt(np.square(spread[:, :2]).mean(1)).mean() / extent
    odds = np.log(np.clip(present, 1e-4, 1 - 1e-4) / (1 - np.clip(present, 1e-4, 1 - 1e-4)))
    score = 1 / (1 + np.exp(-(0.826 * odds - 1.517 * np.log(relative) - 7.58)))
    px = np.column_stack([middle + joints[:, :2] * side / 2, joints[:, 2]])
    return px, float(right), float(score)


def distinct(hands, least):
    """Each hand once, the surest first."""
    kept = []
    for hand in sorted(hands, key=lambda hand: -hand[2]):
        size = [np.ptp(one[0][:, :2], axis=0).max() for one in [hand, *kept]]
        apart = [np.linalg.norm(hand[0][:, :2] - one[0][:, :2], axis=1).mean() for one in kept]
        if hand[2] >= least and all(a >= SAME_HAND * max(size[0], s) for a, s in zip(apart, size[1:])):
            kept.append(hand)
    return kept


def main(finder, reader, path):
    """Find, read, read again round what was read."""
    find, read = (onnxruntime.InferenceSession(f"{name}.onnx") for name in (f"{finder}/find", f"{reader}/read_image"))
    margin = json.load(open(f"{reader}/export.json"))["crop"]["margin"]
    photo = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    again = []
    for joints, _, _ in distinct([read_at(read, photo, *place) for place in places(find, photo, margin)], LEAST_AT_FIRST):
        low, high = joints[:, :2].min(0), joints[:, :2].max(0)
        again.append(((low + high) / 2, max(float((high - low).max()) * margin, SMALLEST_PX)))
    for joints, right, score in distinct([read_at(read, photo, *place) for place in again], LEAST):
        side = "right" if right >= 0.5 else "left"
        print(json.dumps({"hand_side": side, "score": round(score, 4), "joints": joints.round(3).tolist()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
