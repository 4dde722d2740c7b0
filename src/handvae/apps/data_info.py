"""`handvae data info`: what a data set holds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from handvae.apps.options import parse
from handvae.data.coco import CocoHands
from handvae.hand import LEFT


@dataclass(frozen=True)
class Info:
    """Say what a data set holds."""

    root: tyro.conf.Positional[Path]
    """Folder with annotations.json."""
    split: str | None = None
    """Only this split."""


def main(arguments: Sequence[str]) -> None:
    """Counts and label ranges."""
    options = parse(Info, arguments, "handvae data info")
    data = CocoHands(options.root, options.split)
    labels = data.labels(torch.arange(len(data)))
    joints, valid, side = labels.need("joints_2d", "joint_valid", "side")
    sizes = Counter(data.picture(row).shape[1::-1] for row in range(0, len(data), max(1, len(data) // 50)))
    extent = (joints.amax(1) - joints.amin(1)).amax(1)
    left = int((side == LEFT).sum())
    print(f"{options.root}  split {options.split or 'all'}")
    print(f"hands           {len(data)} ({left} left, {len(data) - left} right)")
    if labels.subject is not None:
        print(f"people          {len(labels.subject.unique())}")
    print(f"labels          {', '.join(name for name, _ in labels.items())}")
    print(f"labelled joints {100 * valid.float().mean():.1f} %")
    print(f"hand's extent   {extent.min():.0f} to {extent.max():.0f} px, median {extent.median():.0f}")
    print(f"picture sizes   {', '.join(f'{w} x {h}' for (w, h), _ in sizes.most_common(5))} (of {sum(sizes.values())} looked at)")
