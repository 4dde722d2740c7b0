"""The table of a network, from Python and from the command line."""

import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from handvae import rv


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x):
        return torch.relu(self.conv(x) + x)


def network() -> nn.Sequential:
    return nn.Sequential(Residual(), nn.Upsample(scale_factor=2), nn.Conv2d(2, 3, 3, padding=1), nn.Sigmoid())


def test_layers_are_listed_with_kind_and_assumption():
    rows = {row.name: row for row in rv.explain(network())}
    assert rows["0.conv"].kind is rv.Kind.INDEPENDENCE
    assert rows["3"].kind is rv.Kind.APPROXIMATE
    assert "0.005" in rows["3"].assumption
    assert rows["0"].kind is None
    assert "own forward" in rows["0"].assumption


def test_fused_layers_name_each_other():
    rows = {row.name: row for row in rv.explain(network())}
    assert "with 2" in rows["1"].assumption
    assert "with 1" in rows["2"].assumption
    kept = {row.name: row for row in rv.explain(rv.to_rv(network(), upsample="plain"))}
    assert "correlated" in kept["1"].assumption


def test_with_an_example_every_call_is_listed_in_order(random_variable):
    rows = list(rv.explain(network(), random_variable(1, 2, 3, 3)))
    assert [row.operation.rsplit(".")[-1] for row in rows] == [
        "conv2d",
        "add",
        "relu",
        "interpolate",
        "conv2d",
        "sigmoid",
    ]
    assert rows[1].name == "0 (Residual)"


def test_a_layer_without_a_rule_says_how_to_add_one():
    (row,) = rv.explain(nn.Softmax(1))
    assert row.kind is None
    assert "register_rv(Softmax)" in row.assumption


def test_twins_are_explained_as_the_networks_they_come_from():
    assert list(rv.explain(rv.to_rv(network()))) == list(rv.explain(network()))


def test_the_mode_of_the_network_is_restored(random_variable):
    subject = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 2))
    rv.explain(subject, random_variable(1, 2))
    assert subject[0].training


def run(*arguments: str, folder: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "handvae.rv.explain", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shop.py").write_text(
        textwrap.dedent("""
        from torch import nn

        def decoder():
            return nn.Sequential(nn.Linear(2, 3), nn.Tanh())

        def load(path):
            return nn.Sequential(nn.Linear(int(path.read_text()), 1))
        """)
    )
    (tmp_path / "weights.txt").write_text("7")
    return str(tmp_path)


def test_command_prints_the_table_of_a_callable(folder):
    done = run("shop:decoder", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Tanh" in done.stdout


def test_command_takes_a_checkpoint_with_a_loader(folder):
    done = run("weights.txt", "--loader", "shop:load", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "Linear" in done.stdout


def test_command_says_what_it_needs(folder):
    done = run("weights.txt", folder=folder)
    assert done.returncode == 2
    assert "--loader" in done.stderr
