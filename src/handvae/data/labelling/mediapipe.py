"""mediapipe's hand landmarks as a labeller: in a process of its own, so that its pins stay out of this
environment."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from handvae.data.labelling.label import LabelledHand, Labeller
from handvae.data.readers.coco import Number
from handvae.errors import UserError
from handvae.hand import LEFT, RIGHT

WORKER = Path(__file__).with_name("mediapipe_worker.py")
INSTALL = "python3 -m venv ENV && ENV/bin/pip install mediapipe==0.10.21, then --python ENV/bin/python"


class _Hand(BaseModel):
    model_config = ConfigDict(extra="forbid")
    joints_2d: Annotated[list[tuple[Number, Number]], Field(min_length=21, max_length=21)]
    joints_3d: Annotated[list[tuple[Number, Number, Number]], Field(min_length=21, max_length=21)]
    side: Literal["left", "right"]


_ANSWER = TypeAdapter(list[_Hand])


class MediapipeLabeller(Labeller):
    """Use as a context manager: the process ends with the block.

    Args:
        python: the interpreter of an environment with mediapipe; None for this one.
        worker: the program that it runs.

    Raises:
        UserError: mediapipe is not installed, or its process ended.
    """

    name, has_3d = "mediapipe", True

    def __init__(self, python: Path | None = None, worker: Path = WORKER) -> None:
        self.python = Path(sys.executable) if python is None else python
        try:
            self.process = subprocess.Popen(
                [self.python, "-I", worker],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise UserError(self.python, f"cannot be run ({error.strerror})", INSTALL) from error

        try:
            # the worker's first answer comes when mediapipe is loaded
            self._answer()
        except UserError:
            self.close()
            raise UserError(self.python, "has no mediapipe that works", INSTALL) from None

    def __enter__(self) -> "MediapipeLabeller":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        # at the end of its input the worker stops by itself
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def hands(self, pixels: UInt8[np.ndarray, "height width 3"]) -> Sequence[LabelledHand]:
        """The hands of a picture, two at most."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(f"{pixels.shape[0]} {pixels.shape[1]}\n".encode() + pixels.tobytes())
            self.process.stdin.flush()
        except OSError as error:
            raise UserError(self.python, "mediapipe's process has ended", "run it again") from error

        hands = []
        for hand in self._answer():
            # mediapipe's origin is the hand's middle, ours the wrist
            solid = np.array(hand.joints_3d)
            hands.append(
                LabelledHand(
                    np.array(hand.joints_2d), RIGHT if hand.side == "right" else LEFT, solid - solid[0]
                )
            )

        return hands

    def _answer(self) -> list[_Hand]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        try:
            return _ANSWER.validate_python(json.loads(line))
        except (ValueError, ValidationError) as error:
            raise UserError(self.python, "mediapipe's process has ended", "run it again") from error
