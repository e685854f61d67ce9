"""Batches that are drawn while the one before is learnt from."""

import threading

import pytest
import torch

from cscl.training.ahead import drawn_ahead

CPU = torch.device("cpu")


def test_batches_are_those_that_were_asked_for_and_the_next_one_is_under_way() -> None:
    drawn: list[tuple[int, int]] = []
    two = threading.Event()

    def draw(step: int, size: int) -> tuple[int, int]:
        drawn.append((step, size))
        if step == 2:
            two.set()
        return step, size

    with drawn_ahead(draw, 3, CPU) as ahead:
        assert ahead(0, 4) == (0, 4) and ahead(1, 4) == (1, 4)
        assert two.wait(5), "the batch of step 2 is drawn before it is asked for"
        assert ahead(2, 2) == (2, 2), "another size is drawn anew"
    assert max(drawn) == (2, 4), "past the last step nothing is drawn"


def test_what_goes_wrong_is_told_when_the_batch_is_asked_for() -> None:
    def draw(step: int, size: int) -> int:
        if step == 1:
            raise ValueError("no disk")
        return step

    with drawn_ahead(draw, 5, CPU) as ahead:
        assert ahead(0, 1) == 0
        with pytest.raises(ValueError, match="no disk"):
            ahead(1, 1)
        assert ahead(2, 1) == 2
