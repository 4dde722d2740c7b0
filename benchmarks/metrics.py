"""What metrics cost on one core: a million hands through every pose metric, 10,000 pictures through every
distance of sets.

    python benchmarks/metrics.py             # about a minute and a half
    python benchmarks/metrics.py --quick     # a hundredth of it; its seconds are not the reported ones

Seconds are processor time of one thread on this machine; ratios are over the plainest thing that reads the
same numbers, in one run.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch

from handvae.evaluation.frechet import Moments, frechet_distance, gaussian_of, kernel_distance, manifold
from handvae.evaluation.pose_2d import PixelMetrics
from handvae.evaluation.pose_3d import PoseMetrics

BATCH = 8192
JOINTS = 21


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def peak_mb() -> float:
    """Most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def poses(hands: int) -> None:
    """Every pose metric over hands that come in batches, as from a loader."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(BATCH, JOINTS, 3, generator=generator) * 40
    prediction = truth + torch.randn(BATCH, JOINTS, 3, generator=generator) * 12
    valid = torch.rand(BATCH, JOINTS, generator=generator) < 0.9
    batches = -(-hands // BATCH)

    def plain() -> None:
        total = torch.zeros((), dtype=torch.float64)
        for _ in range(batches):
            total += (prediction - truth).norm(dim=-1)[valid].sum()

    space, pixels = PoseMetrics(visibility=True), PixelMetrics("benchmark")
    base = seconds(plain)
    before = peak_mb()
    three = seconds(
        lambda: [space.add(prediction, truth, valid, valid) for _ in range(batches)] + [space.measures()]
    )
    two = seconds(
        lambda: (
            [pixels.add(prediction[..., :2], truth[..., :2], valid) for _ in range(batches)]
            + [pixels.measures()]
        )
    )
    n = batches * BATCH
    print(f"{n:,} hands of {JOINTS} joints in batches of {BATCH}, one core")
    rows = {
        "the mean error alone": base,
        f"all {len(space.measures())} of 3D poses": three,
        f"all {len(pixels.measures())} of 2D poses": two,
    }
    for name, taken in rows.items():
        print(
            f"  {name:<37}{taken:7.2f} s   {taken / base:5.1f} times the mean alone, {n / taken:,.0f} hands/s"
        )
    print(f"  memory grew by {peak_mb() - before:.0f} MB")


def pictures(count: int, dim: int) -> None:
    """Every distance of two sets of features."""
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(dim, dim, generator=generator) / dim**0.5
    real = (torch.randn(count, dim, generator=generator) @ mixing).relu()
    generated = (1.1 * torch.randn(count, dim, generator=generator) @ mixing).relu()
    first, second = gaussian_of(real), gaussian_of(generated)

    def streamed() -> None:
        moments = Moments(dim)
        for rows in real.split(64):
            moments.add(rows)

    base = seconds(lambda: torch.cov(real.double().T))
    rows = {
        "covariance by torch.cov": base,
        "moments in batches of 64": seconds(streamed),
        "Frechet distance of two Gaussians": seconds(lambda: frechet_distance(first, second)),
        "kernel distance": seconds(
            lambda: kernel_distance(real, generated, torch.Generator().manual_seed(0))
        ),
        "precision, recall, density, coverage": seconds(lambda: manifold(real, generated)),
    }
    print(f"{count:,} pictures of each set, {dim} features, one core")
    for name, taken in rows.items():
        print(f"  {name:<37}{taken:7.2f} s   {taken / base:5.1f} times torch.cov")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="a hundredth of the hands, a tenth of the pictures and features"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    poses(10_000 if options.quick else 1_000_000)
    pictures(1_000 if options.quick else 10_000, 204 if options.quick else 2048)


if __name__ == "__main__":
    main()
