"""Several processes that train one model: `torchrun` starts them, this averages their gradients."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """This process's place among all."""

    rank: int = 0
    ranks: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def average(self, gradients: Iterable[Tensor]) -> None:
        """Replace each gradient by its mean over the processes, in one message for all of them.

        By hand, after each phase's backward pass, so that any number of phases with any subset of
        parameters works.
        """
        tensors = list(gradients)
        if self.ranks == 1 or not tensors:
            return

        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.ranks
        sizes = [tensor.numel() for tensor in tensors]
        for tensor, mean in zip(tensors, flat.split(sizes), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def mean(self, value: float) -> float:
        """Mean of a number over the processes."""
        if self.ranks == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return float(total) / self.ranks

    def wait(self) -> None:
        """Return once every process has come to this point."""
        if self.ranks > 1:
            dist.barrier()


@contextmanager
def ranks(device: torch.device | None = None) -> Iterator[Ranks]:
    """The ranks that `torchrun` has started (one, without it), with gloo on CPUs and nccl on GPUs.

    Args:
        device: where to train; without it, the GPU of this rank's number if there are GPUs, else the CPU.
            With several ranks, a CUDA device stands for the one of each rank's number.
    """
    cuda = torch.cuda.is_available() if device is None else device.type == "cuda"
    count = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device is None or (cuda and count > 1):
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)

    if count == 1:
        yield Ranks(device=device)
        return

    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield Ranks(dist.get_rank(), count, device)
    finally:
        dist.destroy_process_group()
