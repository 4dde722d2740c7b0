"""What a run resumes from."""

import resource
from contextlib import contextmanager

import pytest
import torch

from handvae.errors import UserError
from handvae.noise import Noise
from handvae.training.config import Train
from handvae.training.state import State


@pytest.fixture
def moved(build, crops):
    """A state after three steps: weights, average and moments have all left their start, and each other."""
    system = build().train()
    state = State.fresh(system, Train(ema=0.5))
    for step in range(3):
        for phase in system.step(crops[:4], "all", Noise(0, step)):
            state.optimisers[phase.group].zero_grad()
            phase.losses.total.backward()
            state.optimisers[phase.group].step()
        state.average.update(system, step)
    state.norms = {"all": 12.5}
    return state


def test_a_state_comes_back_bit_for_bit(moved, build, tmp_path):
    moved.write(tmp_path / "state.pt", 3)
    again = State.fresh(build(seed=5), Train(ema=0.5))
    assert again.read(tmp_path / "state.pt") == 3
    for old, new in (
        (moved.system.state_dict(), again.system.state_dict()),
        (moved.average.values, again.average.values),
    ):
        assert old.keys() == new.keys()
        assert all(torch.equal(old[name], new[name]) for name in old)
    assert again.norms == {"all": 12.5}
    before, after = (state.optimisers["all"].state_dict()["state"] for state in (moved, again))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[p][name], after[p][name]) for p in before for name in before[p])


def test_a_read_state_takes_the_same_next_step(moved, build, crops, tmp_path):
    moved.write(tmp_path / "state.pt", 3)
    again = State.fresh(build(seed=5), Train(ema=0.5))
    again.read(tmp_path / "state.pt")
    again.system.train()
    for state in (moved, again):
        (phase,) = state.system.step(crops[4:8], "all", Noise(0, 3))
        state.optimisers["all"].zero_grad()
        phase.losses.total.backward()
        state.optimisers["all"].step()
        state.average.update(state.system, 3)
    assert all(torch.equal(value, again.average.values[name]) for name, value in moved.average.values.items())


def test_the_average_is_no_view_of_the_weights(moved):
    weights = moved.system.state_dict()
    assert any(not torch.equal(weights[name], value) for name, value in moved.average.values.items())
    assert all(weights[name].data_ptr() != value.data_ptr() for name, value in moved.average.values.items())


def test_a_state_of_another_size_is_refused(moved, build, tiny_config, tmp_path):
    from dataclasses import replace

    moved.write(tmp_path / "state.pt", 3)
    other = State.fresh(build(replace(tiny_config, appearance_dims=5)), Train())
    with pytest.raises(UserError, match="state"):
        other.read(tmp_path / "state.pt")


@contextmanager
def full_disk(size: int):
    """Inside the block no file of this process grows beyond so many bytes, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 100, 50_000])
def test_a_full_disk_leaves_the_last_save(moved, size, tmp_path):
    path = tmp_path / "state.pt"
    moved.write(path, 3)
    before = path.read_bytes()
    assert len(before) > 50_000

    with full_disk(size), pytest.raises((UserError, OSError)):
        moved.write(path, 4)

    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_full_disk_is_said_in_one_line(moved, tmp_path):
    with (
        full_disk(50_000),
        pytest.raises(UserError, match=r"state\.pt: the state cannot be written.*; make room"),
    ):
        moved.write(tmp_path / "state.pt", 3)
