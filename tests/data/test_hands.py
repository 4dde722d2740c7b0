import pytest
import torch

from handvae.data.hands import Hands


def numbered(count: int) -> Hands:
    """A batch whose row r holds r everywhere."""
    row = torch.arange(count)
    return Hands(joints_2d=row.float()[:, None, None].expand(count, 21, 2), side=row % 2, subject=row)


def test_fields_of_different_length_are_refused_and_named(unchecked):
    with pytest.raises(ValueError, match=r"side.*3"):
        Hands(joints_2d=torch.zeros(2, 21, 2), side=torch.zeros(3, dtype=torch.long))


@pytest.mark.parametrize(
    "rows",
    [slice(1, 4), [3, 0], torch.tensor([4, 4, 1]), torch.tensor([True, False, True, False, False])],
    ids=["slice", "list", "indices", "mask"],
)
def test_rows_are_chosen_alike_in_every_field(rows):
    chosen = numbered(5)[rows]
    expected = torch.arange(5)[rows]
    assert torch.equal(chosen.subject, expected)
    assert torch.equal(chosen.side, expected % 2)
    assert torch.equal(chosen.joints_2d[:, 7, 1], expected.float())
    assert len(chosen) == len(expected)


def test_choosing_rows_invents_no_field():
    assert [name for name, _ in numbered(3)[:2].items()] == ["joints_2d", "side", "subject"]


def test_parts_of_a_batch_join_to_the_batch():
    whole = numbered(7)
    joined = Hands.cat([whole[:3], whole[3:4], whole[4:]])
    assert [name for name, _ in joined.items()] == [name for name, _ in whole.items()]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(joined.items(), whole.items(), strict=True))


def test_an_empty_batch_has_length_zero():
    assert len(Hands()) == 0


def test_a_needed_field_that_is_absent_is_named_with_those_that_are_there():
    with pytest.raises(ValueError, match=r"no image, mask; it has joints_2d, side, subject"):
        numbered(2).require_all("image", "side", "mask")


def test_needed_fields_come_in_the_order_asked_for():
    batch = numbered(2)
    subject, side = batch.require_all("subject", "side")
    assert subject is batch.subject
    assert side is batch.side
