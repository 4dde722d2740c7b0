import pytest
import torch

from handvae.noise import Noise, Stream, derangement


def draws(noise: Noise, count: int) -> list[torch.Tensor]:
    """A mixed sequence of draws, as a training step makes it."""
    return [
        noise.normal(count, 3),
        noise.uniform(count, low=-2, high=5),
        noise.normal(count),
        noise.uniform(count, 2, 2),
    ]


@pytest.mark.parametrize("ranks", [2, 3])
def test_the_draws_of_all_ranks_join_to_the_draws_of_one(ranks):
    whole = draws(Noise(5, 11, 2), 6)
    parts = [draws(Noise(5, 11, 2, rank, ranks), 6 // ranks) for rank in range(ranks)]
    for number, expected in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), expected)


@pytest.mark.parametrize("changed", [{"seed": 1}, {"step": 1}, {"stream": 1}])
def test_seed_step_and_stream_each_give_other_numbers(changed):
    start = {"seed": 0, "step": 0, "stream": 0}
    assert not torch.equal(Noise(**start).normal(8), Noise(**start | changed).normal(8))


def test_the_same_seed_and_step_give_the_same_numbers():
    assert torch.equal(Noise(3, 4).normal(8, 2), Noise(3, 4).normal(8, 2))


def test_neighbouring_seeds_and_steps_do_not_share_numbers():
    """Seed 1 at step 0 must not be seed 0 at step 1, as a sum of the two would have it."""
    assert not torch.equal(Noise(1, 0).normal(8), Noise(0, 1).normal(8))


def test_uniform_numbers_fill_their_range_and_stay_in_it():
    values = Noise(0).uniform(4000, low=-2, high=5)
    assert -2 <= values.min() < -1.9
    assert 4.9 < values.max() < 5


def test_every_rank_shuffles_its_own_samples_and_in_its_own_way():
    first, second = (Noise(0, rank=rank, ranks=2).permutation(50) for rank in (0, 1))
    assert torch.equal(first.sort().values, torch.arange(50))
    assert torch.equal(second.sort().values, torch.arange(50))
    assert not torch.equal(first, second)


def test_a_shuffle_takes_as_many_numbers_on_every_rank():
    """Draws after a shuffle still join to those of one process."""
    after = []
    for rank in (0, 1):
        noise = Noise(0, rank=rank, ranks=2)
        noise.permutation(4)
        after.append(noise.normal(2))
    lone = Noise(0, rank=0, ranks=2)
    lone.permutation(4)
    both = Noise(0)
    both.generator.set_state(lone.generator.get_state())
    assert torch.equal(torch.cat(after), both.normal(4))


SHARED_VALUES = {
    "GENERATED_ROWS": "LOADER",
    "KERNEL_DISTANCE": "SYSTEM",
    "RENEWAL": "SHEET",
    "UPSAMPLING_ORDER": "LEAKAGE",
    "DETECTOR_ROWS": "UPSAMPLING_PAGE",
    "NAMED_APPEARANCES": "CODE_ROWS",
    "FIGURE_POSES": "CODE_ROWS",
    "WALK_PAIRS": "LATENT_ROWS",
    "SPREAD_HALVES": "LATENT_FACTORS",
}
"""Streams of the first edition with the value of another one; published numbers depend on them. Not to
grow."""


def test_no_two_streams_share_a_value_but_the_historical_ones():
    aliases = {name: member.name for name, member in Stream.__members__.items() if name != member.name}
    assert aliases == SHARED_VALUES


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_derangement_leaves_no_sample_in_its_place(count):
    order = derangement(count, Noise(4))
    assert torch.equal(order.sort().values, torch.arange(count))
    assert (order != torch.arange(count)).all()
