"""Rendered hands as a data set.

A plan says which hands it holds. They are drawn on demand, or written to shards by jobs that can be repeated.
"""

import multiprocessing
from codecs import BOM_UTF8
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from torch import Tensor

from handvae.data.dataset import HAND_CLASSES_FROM, PLAN_FILE, HandData
from handvae.data.files.shards import write_shard
from handvae.data.hands import DataSpec, Hands
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.files import write_text_atomically
from handvae.hand import POSE_NAMES
from handvae.render.picture import FACTORS, Picture, Quality, draw
from handvae.render.scene import CLOUD, SceneRanges, sample_scene, stream_of

MOST_HANDS = 100_000_000
"""Of one data set: a year of a core's drawing."""
SHARD_HANDS = 500
"""Hands a shard: what one job draws, and what a killed job loses at most."""
_TEST_SEED = 2**31
"""Added to the seed for the test split: other persons in other poses."""
_KEPT_PICTURES = 4096
_PICTURES = ("image", "depth", "segmentation", "mask")
_LABELS = (
    *("joints_2d", "joints_3d", "joint_valid", "joint_visible", "intrinsics", "side", "viewpoint"),
    *("canonical", "content", "subject", "gesture", "scale_mm", "factors"),
)


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class RenderPlan:
    """Which hands a rendered data set holds: the same plan is the same data set, to the last byte."""

    count: int
    """Number of hands."""
    seed: int = 0
    size_px: int = 64
    """Side of the pictures."""
    test: int = 0
    """How many of them, the last ones, are the test split: of other persons in other poses."""
    quality: Quality = "fast"
    """`reference` traces the exact surface, `fast` draws a baked mesh."""
    cloud: int = 256
    """Points of the hand's visible surface to keep with each picture; 0 for none."""
    ranges: SceneRanges = field(default_factory=SceneRanges)
    """What is drawn at random, and how widely."""

    def __post_init__(self) -> None:
        if self.count > MOST_HANDS:
            raise ValueError(f"count is {self.count:,}, more than {MOST_HANDS:,}")

        counts_fit = self.count >= 1 and 0 <= self.test <= self.count
        if not counts_fit or not 16 <= self.size_px <= 1024 or self.cloud < 0 or self.seed < 0:
            raise ValueError(
                "count is 1 or more, test 0 to count, size_px 16 to 1024, cloud and seed 0 or more"
            )

    @property
    def spec(self) -> DataSpec:
        """What the data set offers."""
        clouds = ("cloud",) if self.cloud else ()
        return DataSpec(
            name="rendered",
            count=self.count,
            size_px=self.size_px,
            modalities=(*_PICTURES, *_LABELS, *clouds),
            sides="both",
            root="camera",
            gestures=POSE_NAMES,
            factors=FACTORS,
            licence="Apache-2.0: made by handvae, free for any use",
        )

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return "test" if row >= self.count - self.test else "train"

    def picture(self, row: int) -> Picture:
        """Draw one hand."""
        return draw(sample_scene(self._seed(row), row, self.ranges), self.size_px, self.quality)

    def sample(self, row: int) -> Sample:
        """Draw one hand, with all its labels."""
        picture = self.picture(row)
        cloud = None
        if self.cloud:
            # a stream of its own: other draws of the hand do not depend on the number of points
            generator = stream_of(self._seed(row), CLOUD, row)
            cloud = surface_cloud(picture, self.cloud, generator)

        # negative for persons of the test split: never the number of a training person
        split = self.split_of(row)
        person = picture.content if split == "train" else -1 - picture.content
        return Sample(
            joints_2d=picture.joints_2d,
            side=picture.side,
            image=picture.image,
            depth=picture.depth,
            segmentation=picture.segmentation,
            joints_3d=picture.joints_3d,
            joint_valid=np.ones(21, bool),
            joint_visible=picture.joint_visible,
            intrinsics=picture.intrinsics,
            viewpoint=picture.viewpoint,
            canonical=picture.canonical,
            cloud=cloud,
            content=person,
            subject=person,
            gesture=POSE_NAMES.index(picture.pose_name) if picture.pose_name else -1,
            scale_mm=picture.scale_mm,
            factors=picture.factors,
            split=split,
        )

    def _seed(self, row: int) -> int:
        return self.seed + (_TEST_SEED if self.split_of(row) == "test" else 0)


PLANS = {"rendered-20k": RenderPlan(20_000, seed=20, test=2_000)}
"""Data sets that have a name."""


def surface_cloud(
    picture: Picture, points: int, generator: np.random.Generator
) -> Float[np.ndarray, "point 3"]:
    """Points of the hand's visible surface, mm in the camera frame; zeros where no hand is visible.

    They are drawn from the pixels of the depth picture.
    """
    rows, columns = np.nonzero((picture.segmentation >= HAND_CLASSES_FROM) & (picture.depth > 0))
    if not len(rows):
        return np.zeros((points, 3), np.float32)

    # with replacement only where a small hand has too few pixels
    chosen = generator.choice(len(rows), points, replace=len(rows) < points)
    depth = picture.depth[rows[chosen], columns[chosen]]

    # square pixels, and the principal point in the middle of a square picture
    focal = picture.intrinsics[0, 0]
    centre = picture.intrinsics[0, 2]
    x = (columns[chosen] + 0.5 - centre) * depth / focal
    y = (rows[chosen] + 0.5 - centre) * depth / focal
    return np.stack([x, y, depth], 1).astype(np.float32)


# -------------------------------------------------------------------------------------------- drawn on demand


class RenderedHands(HandData):
    """The hands of a plan, each drawn on demand; the last few thousand are kept.

    Args:
        plan: which hands.
        split: `train`, `test`, or None for all.
    """

    def __init__(self, plan: RenderPlan, split: str | None = None) -> None:
        first_of_test = plan.count - plan.test
        parts = {
            None: range(plan.count),
            "train": range(first_of_test),
            "test": range(first_of_test, plan.count),
        }
        rows = parts.get(split, range(0))
        if not rows:
            remedy = "this plan has the splits train and test; `split None` reads all"
            raise UserError(f"split {split!r}", "holds no hand", remedy)

        self._plan = plan
        self._rows = rows
        self.spec = replace(plan.spec, count=len(rows))
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def _sample(self, row: int) -> Sample:
        """One hand, drawn or kept."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]

        # outside of the lock: threads draw at the same time
        sample = self._plan.sample(self._rows[row])

        with self._lock:
            self._kept[row] = sample
            if len(self._kept) > _KEPT_PICTURES:
                self._kept.popitem(last=False)

        return sample

    def labels(self, rows: Int[Tensor, " rows"]) -> Hands:
        """Labels of the rows; their pictures are drawn on the way."""
        samples = [self._sample(row) for row in rows.tolist()]
        labels = {}
        for name in self.spec.modalities:
            if name not in _PICTURES:
                values = [np.asarray(getattr(sample, name)) for sample in samples]
                labels[name] = torch.from_numpy(np.stack(values))
        return Hands(**labels)

    def split_of(self, row: int) -> str:
        """`train` or `test`."""
        return self._plan.split_of(self._rows[row])

    def picture(self, row: int) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of one row, RGB."""
        return _drawn(self._sample(row).image)

    def depth(self, row: int) -> Float[np.ndarray, "height width"]:
        """Depth in mm along the camera's axis, 0 off the hand and its arm."""
        return _drawn(self._sample(row).depth)

    def segmentation(self, row: int) -> UInt8[np.ndarray, "height width"]:
        """Indices into `handvae.hand.SEGMENTATION_CLASSES`."""
        return _drawn(self._sample(row).segmentation)


def _drawn(pixels: np.ndarray | None) -> np.ndarray:
    assert pixels is not None, "a plan draws image, depth and segmentation of every hand"
    return pixels


def read_plan(path: Path) -> RenderPlan:
    """The plan in a file.

    Raises:
        UserError: it is no plan.
    """
    try:
        return TypeAdapter(RenderPlan).validate_json(path.read_bytes().removeprefix(BOM_UTF8))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file"
        raise UserError(path, f"{field}: {first['msg']}", "write it again with handvae render") from error


# ------------------------------------------------------------------------------------------ written to shards


def write_plan(folder: Path, plan: RenderPlan) -> None:
    """Write into a folder which hands it holds; the folder then opens as a data set.

    Raises:
        UserError: the folder already holds another plan, or something else.
    """
    path = folder / PLAN_FILE
    if path.is_file():
        if read_plan(path) != plan:
            remedy = "give the same options to continue it, or another --out"
            raise UserError(path, "is of another data set", remedy)
        return

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(folder, "already exists", "give another --out")

    write_text_atomically(path, TypeAdapter(RenderPlan).dump_json(plan, indent=2).decode() + "\n")


def shard_files(folder: Path, plan: RenderPlan) -> list[tuple[Path, range]]:
    """The shards of a plan and the rows of each."""
    shards = []
    for number, start in enumerate(range(0, plan.count, SHARD_HANDS)):
        rows = range(start, min(start + SHARD_HANDS, plan.count))
        shards.append((folder / f"shard-{number:05d}.parquet", rows))
    return shards


def write_rendered(
    folder: Path,
    plan: RenderPlan,
    part: int = 0,
    parts: int = 1,
    workers: int = 1,
    report: Callable[[int], None] = lambda done: None,
) -> int:
    """Write the shards that are missing; several such jobs may run at once, be killed and run again.

    Args:
        folder: of the plan; see `write_plan`.
        plan: which hands.
        part, parts: write every `parts`-th shard, beginning with number `part`.
        workers: processes; the bytes do not depend on it.
        report: called with the number of hands of each shard, also of those already written.

    Returns:
        The number of hands drawn.
    """
    drawn = 0
    missing = []
    for path, rows in shard_files(folder, plan)[part::parts]:
        if path.is_file():
            report(len(rows))
        else:
            # shards appear whole or not at all, so one that exists is complete
            missing.append((path, rows))

    for rows in _each(plan, missing, workers):
        report(rows)
        drawn += rows

    return drawn


def _each(plan: RenderPlan, missing: list[tuple[Path, range]], workers: int) -> Iterator[int]:
    """Write missing shards; the number of hands of each, as it is done."""
    if workers <= 1 or len(missing) <= 1:
        for path, rows in missing:
            yield _write_rows(plan, path, rows)
        return

    # not fork: a forked process may inherit locks that threads of torch or OpenCV hold
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(missing)), spawn, _one_thread) as pool:
        jobs = [pool.submit(_write_rows, plan, path, rows) for path, rows in missing]
        try:
            for job in as_completed(jobs):
                yield job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_thread() -> None:
    """One thread for each process: more would compete for the same cores."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def _write_rows(plan: RenderPlan, path: Path, rows: range) -> int:
    return write_shard(path, plan.spec, (plan.sample(row) for row in rows), "handvae render")
