from collections import Counter

import pytest
import torch

from handvae.data.augment import Augment
from handvae.data.crop import Crop
from handvae.data.hands import Hands
from handvae.data.loader import Loader
from handvae.data.readers.coco import CocoHands

VARIED = Augment(mirror=0.3, brightness=0.2, tint=0.1, contrast=0.2, saturation=0.2, blur=0.5, noise=0.1)


@pytest.fixture(scope="module")
def data(tiny_set):
    return CocoHands(tiny_set, "train")


@pytest.fixture
def loader(data):
    def make(batch: int = 8, **settings: object) -> Loader:
        return Loader(data, Crop(32), VARIED, batch, **settings)

    return make


def same(a: Hands, b: Hands) -> bool:
    return [n for n, _ in a.items()] == [n for n, _ in b.items()] and all(
        torch.equal(x, y) for (_, x), (_, y) in zip(a.items(), b.items(), strict=True)
    )


def test_a_batch_depends_on_nothing_but_seed_and_step(loader):
    first, second = loader(), loader()
    wanted = first.batch_at(5)
    second.batch_at(0)
    assert same(second.batch_at(5), wanted)
    assert same(second.batch_at(5), wanted)


def test_another_seed_and_another_step_give_another_batch(loader):
    wanted = loader().batch_at(5)
    assert not same(loader(seed=1).batch_at(5), wanted)
    assert not same(loader().batch_at(6), wanted)


def test_the_same_hand_is_changed_differently_in_every_epoch(loader, data):
    whole = loader(batch=len(data))
    first, second = (whole.batch_at(step)[whole.rows_at(step).argsort()] for step in (0, 1))
    assert ((first.image - second.image).flatten(1).abs().amax(1) > 0.01).all()


@pytest.mark.parametrize(
    "batch", [8, 5, 33], ids=["divides the set", "does not divide it", "is larger than it"]
)
def test_every_hand_is_seen_equally_often_over_whole_epochs(loader, data, batch):
    reader, count = loader(batch=batch), len(data)
    rows = torch.cat([reader.rows_at(step) for step in range(count)]).tolist()  # `batch` epochs
    assert Counter(rows) == dict.fromkeys(range(count), batch)


def test_one_epoch_sees_every_hand_once(loader, data):
    reader = loader(batch=5)
    rows = torch.cat([reader.rows_at(step) for step in range(7)])[: len(data)]
    assert torch.equal(rows.sort().values, torch.arange(len(data)))


def test_epochs_come_in_different_orders(loader, data):
    reader = loader(batch=len(data))
    assert not torch.equal(reader.rows_at(0), reader.rows_at(1))


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_shares_of_all_ranks_make_the_whole_batch(loader, ranks):
    whole = loader().batch_at(3)
    assert same(Hands.cat([loader(rank=rank, ranks=ranks).batch_at(3) for rank in range(ranks)]), whole)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_prepared_ahead_are_those_of_their_steps_in_order(loader, workers):
    reader = loader(workers=workers, prefetched=2)
    batches = list(reader.batches(3, 9))
    assert len(batches) == 6
    assert all(same(batch, reader.batch_at(step)) for step, batch in zip(range(3, 9), batches, strict=True))


def test_a_fault_in_a_loader_thread_reaches_the_caller(loader, data, monkeypatch):
    def broken(row: int) -> None:
        raise RuntimeError("no such picture")

    monkeypatch.setattr(data, "picture", broken)
    with pytest.raises(RuntimeError, match="no such picture"):
        next(loader().batches(0, 3))


def test_loader_threads_leave_the_main_thread_its_threads_of_arithmetic(loader):
    before = torch.get_num_threads()
    list(loader().batches(0, 2))
    assert torch.get_num_threads() == before


def test_a_batch_that_does_not_divide_over_the_ranks_is_refused(loader):
    with pytest.raises(ValueError, match="9 does not divide over 2"):
        loader(batch=9, ranks=2)
