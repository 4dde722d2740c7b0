"""Runs where mediapipe is installed, which need not be where handvae is: reads pictures from its input,
writes hands to its output.

A picture comes as a line `HEIGHT WIDTH` and its RGB bytes; the answer is a line of JSON: a list of
{"joints_2d", "joints_3d", "side"}.
"""

import importlib
import json
import sys
from typing import Any


def main() -> None:
    """Answer pictures until the input ends."""
    import numpy as np

    mediapipe: Any = importlib.import_module("mediapipe")
    answers = sys.stdout
    sys.stdout = sys.stderr  # whatever the library prints is no answer

    with mediapipe.solutions.hands.Hands(
        static_image_mode=True, max_num_hands=2, min_detection_confidence=0.5
    ) as hands:
        print("[]", file=answers, flush=True)  # ready
        while line := sys.stdin.buffer.readline():
            height, width = (int(word) for word in line.split())
            content = sys.stdin.buffer.read(height * width * 3)
            result = hands.process(np.frombuffer(content, np.uint8).reshape(height, width, 3))
            print(json.dumps(_answer(result, height, width)), file=answers, flush=True)


def _answer(result: Any, height: int, width: int) -> list[dict[str, Any]]:
    lists: list[list[Any]] = [
        list(part or [])
        for part in (result.multi_hand_landmarks, result.multi_hand_world_landmarks, result.multi_handedness)
    ]
    parts = zip(*lists, strict=True)
    return [
        {
            # shares of the picture's sides to pixels
            "joints_2d": [[point.x * width, point.y * height] for point in flat.landmark],
            "joints_3d": [
                # metres to millimetres
                [1000 * value for value in (point.x, point.y, point.z)]
                for point in solid.landmark
            ],
            # mediapipe takes its input for a mirror image
            "side": "left" if side.classification[0].label == "Right" else "right",
        }
        for flat, solid, side in parts
    ]


if __name__ == "__main__":
    main()
