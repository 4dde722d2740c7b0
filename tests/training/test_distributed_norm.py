"""Batch normalisation in several processes: what is saved has seen the rows of all of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file
from torch import nn

from handvae import rv
from handvae.rv import RandomVariable
from handvae.training.distributed import Ranks
from handvae.training.state import Average, average_statistics, running_statistics

STEPS = 5


class Norms(nn.Module):
    """Normalisation of numbers, of random variables and, frozen, of neither."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.BatchNorm2d(3)
        self.random = nn.Sequential(nn.BatchNorm1d(4, momentum=None))
        self.frozen = nn.BatchNorm1d(2)
        self.untracked = nn.BatchNorm1d(2, track_running_stats=False)
        self.group = nn.GroupNorm(1, 2)
        self.propagated = rv.to_rv(self.random)


def layers_after(rank: int, ranks: int) -> tuple[Norms, Average]:
    """Layers of a process that has seen its rows of five batches of eight, and their average."""
    norms = Norms().train()
    norms.frozen.eval()
    norms.frozen.running_mean.fill_(0.1)  # pyright: ignore[reportOptionalMemberAccess]
    average = Average(norms, 0.9)
    draws = torch.Generator().manual_seed(3)
    for step in range(STEPS):
        pictures = torch.randn(8, 3, 2, 2, generator=draws) + step
        means, variances = torch.randn(8, 4, generator=draws), torch.rand(8, 4, generator=draws)
        own = slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)
        norms.plain(pictures[own])
        norms.propagated(RandomVariable(means[own], variances[own]))
        average.update(norms, step)

    return norms, average


def tensors_of(norms: Norms, average: Average) -> dict[str, torch.Tensor]:
    averages = {f"average.{name}": value for name, value in average.values.items()}
    return averages | {name: value.clone() for name, value in norms.state_dict().items()}


def in_process(rank: int, ranks: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    layers = layers_after(rank, ranks)
    torch.save(tensors_of(*layers), folder / f"before{rank}.pt")
    average_statistics(*layers, Ranks(rank, ranks))
    torch.save(tensors_of(*layers), folder / f"after{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """All tensors of two gloo processes, before and after they average their statistics."""
    folder = tmp_path_factory.mktemp("two")
    mp.spawn(in_process, (2, folder), nprocs=2)
    return {
        time: [torch.load(folder / f"{time}{rank}.pt") for rank in (0, 1)] for time in ("before", "after")
    }


def test_both_processes_hold_the_mean_of_their_statistics(two):
    names = [name for name in two["before"][0] if "running" in name]
    assert len(names) == 2 * 2 * 4  # twice the random layer: `propagated` is its copy or itself
    for name in names:
        mean = (two["before"][0][name] + two["before"][1][name]) / 2
        assert torch.equal(two["after"][0][name], two["after"][1][name])
        torch.testing.assert_close(two["after"][0][name], mean)


def test_running_means_are_those_of_the_whole_batch(two):
    whole = tensors_of(*layers_after(0, 1))
    moved = [name for name in whole if "running_mean" in name]
    for name in moved:
        torch.testing.assert_close(two["after"][0][name], whole[name])

    # and were not before
    assert any(not torch.allclose(two["before"][0][name], whole[name]) for name in moved)


def test_nothing_else_changes(two):
    for rank in (0, 1):
        before, after = two["before"][rank], two["after"][rank]
        others = [name for name in before if "running" not in name or "frozen" in name]
        assert others
        assert all(torch.equal(before[name], after[name]) for name in others)


def test_layers_without_running_statistics_are_left_out():
    names = running_statistics(Norms())
    assert "plain.running_var" in names
    assert not [name for name in names if "untracked" in name or "group" in name]
    assert running_statistics(nn.BatchNorm1d(2)) == ["running_mean", "running_var"]


@pytest.mark.slow
def test_a_saved_model_has_the_statistics_of_both_processes(tiny_set, tiny_flags, tmp_path):
    # without learning, only the rows that a process sees make a difference
    still = ["--train.steps", "3", "--train.ema", "0", "--train.lr", "1e-12", "--system.norm", "batch"]
    preset = ["train", "photos-base-64", "--data.root", str(tiny_set), *tiny_flags, *still]
    two_processes = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    for name, launch in (("one", []), ("two", two_processes)):
        out = ["--out", str(tmp_path / name)]
        command = [sys.executable, *launch, "-m", "handvae.apps.cli", *preset, *out]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    first = "trunk.stages.0.0.1.running_mean"
    torch.testing.assert_close(two[first], one[first], rtol=1e-4, atol=1e-5)
