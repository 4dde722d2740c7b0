"""Work done ahead: order, faults, and no more in memory than was asked for."""

import threading

import pytest

from handvae.data.prefetch import prefetch


def test_results_come_in_the_order_of_the_items():
    first_is_slow = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            first_is_slow.wait(5)
        else:
            first_is_slow.set()
        return item * item

    assert list(prefetch(work, range(10))) == [n * n for n in range(10)]


def test_items_are_taken_no_further_than_the_results_that_may_wait():
    taken = []
    results = prefetch(str, (taken.append(n) or n for n in range(100)), most=3)
    assert next(results) == "0"
    assert len(taken) == 4
    results.close()
    assert len(taken) == 4


@pytest.mark.parametrize("in_work", [True, False])
def test_a_fault_is_raised_in_its_turn(in_work):
    def items():
        yield from range(5)
        if not in_work:
            raise ValueError("five")

    def work(item: int) -> int:
        if in_work and item == 4:
            raise ValueError("five")
        return item

    seen = []
    with pytest.raises(ValueError, match="five"):
        seen.extend(prefetch(work, items(), most=1))
    assert seen[:3] == [0, 1, 2]
