"""What the Chamfer distance costs, forward and backward, on one core: ours, all pairs at once in plain torch,
and scipy's k-d tree.

    python benchmarks/chamfer.py                # 2025 x 1024 points, batch 32: about a minute
    python benchmarks/chamfer.py --batch 4

Seconds are processor time of one thread, medians of the runs, in turn; memory is what the process grew to,
each way in a process of its
own. The k-d tree gives no gradient: its pairs are handed to torch, as ours are.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from scipy.spatial import KDTree
from torch import Tensor

from handvae.losses import chamfer

POINTS, OTHERS = 2025, 1024


def all_pairs(first: Tensor, second: Tensor) -> Tensor:
    distances = (first[:, :, None] - second[:, None]).norm(dim=3)
    return (distances.amin(2).mean(1) + distances.amin(1).mean(1)) / 2


def hand_by_hand(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([all_pairs(a[None], b[None]) for a, b in zip(first, second, strict=True)])


def by_tree(first: Tensor, second: Tensor) -> Tensor:
    values = []
    for a, b in zip(first, second, strict=True):
        forth, back = (
            torch.from_numpy(KDTree(y.detach().numpy()).query(x.detach().numpy())[1])
            for x, y in ((a, b), (b, a))
        )
        values.append(((a - b[forth]).norm(dim=1).mean() + (b - a[back]).norm(dim=1).mean()) / 2)
    return torch.stack(values)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ours": chamfer,
    "all pairs": all_pairs,
    "hand by hand": hand_by_hand,
    "k-d tree": by_tree,
}


def once(way: str, first: Tensor, second: Tensor) -> tuple[float, float]:
    """Seconds of a forward and backward pass, and the mean distance."""
    first = first.clone().requires_grad_()
    start = time.process_time()
    value = WAYS[way](first, second).mean()
    value.backward()
    return time.process_time() - start, float(value.detach())


def clouds(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, POINTS, 3, generator=generator), torch.randn(
        batch, OTHERS, 3, generator=generator
    )


def growth_mb(way: str, batch: int) -> float:
    """Most memory a fresh process holds after one pass, less what it held before."""
    first, second = clouds(batch)
    once(way, first[:1, :8], second[:1, :8])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    once(way, first, second)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory_of(way: str, batch: int) -> float:
    command = [sys.executable, __file__, "--memory-of", way, "--batch", str(batch)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--memory-of", choices=WAYS, help="print one way's memory and stop")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory_of:
        print(growth_mb(options.memory_of, options.batch))
        return
    memory = {
        way: memory_of(way, options.batch) for way in WAYS
    }  # first: a process's peak begins with that of its parent
    first, second = clouds(options.batch)
    taken: dict[str, list[float]] = {way: [] for way in WAYS}
    values = {}
    for _ in range(options.runs):
        for way in WAYS:
            seconds, values[way] = once(way, first, second)
            taken[way].append(seconds)
    base = statistics.median(taken["ours"])
    print(f"{POINTS} x {OTHERS} points, batch {options.batch}, forward and backward, one core")
    for way in WAYS:
        seconds = statistics.median(taken[way])
        print(
            f"  {way:<14}{seconds:7.3f} s  {seconds / base:5.2f} times ours   "
            f"memory {memory[way]:7.0f} MB   distance {values[way]:.6f}"
        )


if __name__ == "__main__":
    main()
