"""A killed run resumes to the bytes of an unbroken one; two processes do what one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file


@pytest.fixture
def command(tiny_set, tiny_flags):
    def make(out: Path, *words: str) -> list[str]:
        data = ["--data.root", str(tiny_set), "--out", str(out)]
        return [
            "-m",
            "handvae.apps.cli",
            "train",
            "photos-base-64",
            *data,
            *tiny_flags,
            "--train.log-every",
            "1",
            *words,
        ]

    return make


def losses(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "hands_per_second"} for row in rows]


@pytest.mark.slow
def test_a_run_killed_without_warning_resumes_to_the_same_result(command, tmp_path):
    words = ("--train.steps", "40", "--train.save-every", "10")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run([sys.executable, *command(whole, *words)], check=True, capture_output=True)
    process = subprocess.Popen(
        [sys.executable, *command(broken, *words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = broken / "metrics.jsonl"
    deadline = time.monotonic() + 120
    # in the middle of things: after a save, some steps into the next stretch
    while not (log.is_file() and len(log.read_text().splitlines()) >= 14) and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert len(losses_or_less(log)) < 40
    subprocess.run([sys.executable, *command(broken, *words, "--resume")], check=True, capture_output=True)
    assert losses(broken) == losses(whole)
    first, second = load_file(whole / "model.safetensors"), load_file(broken / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(first[name].equal(second[name]) for name in first)


def losses_or_less(log: Path) -> list[str]:
    """Whole lines of a log that a kill may have cut."""
    return [line for line in log.read_text().splitlines() if line.endswith("}")]


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(command, tmp_path):
    words = ("--train.steps", "6", "--train.ema", "0")
    one, two = tmp_path / "one", tmp_path / "two"
    subprocess.run([sys.executable, *command(one, *words)], check=True, capture_output=True)
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *torchrun, *command(two, *words)], check=True, capture_output=True, timeout=300
    )
    alone, together = losses(one), losses(two)
    assert len(alone) == len(together) == 6
    for row, other in zip(alone, together, strict=True):
        for name in ("total", "image", "rate", "pose"):
            assert other[name] == pytest.approx(row[name], rel=1e-5)
        # a sum in place of the mean would leave the losses as they are: Adam does not see the gradient's
        # scale
        assert other["gradient_norm"] == pytest.approx(row["gradient_norm"], rel=1e-4)
