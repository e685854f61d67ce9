"""Batches that are drawn while the one before is learnt from, so that what learns does not wait for the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import torch

from cscl.aside import side_thread

__all__ = ["drawn_ahead"]

Draw = Callable[[int, int], Any]


@contextmanager
def drawn_ahead(draw: Draw, steps: int, device: torch.device) -> Iterator[Draw]:
    """Lend what draws as `draw` does, and begins with the batch of the next step at once, in a thread.

    Parameters
    ----------
    draw : callable
        ``draw(step, size)``: the same batch for the same numbers, whenever it is called.
    steps : int
        How many there are: past the last one nothing is drawn ahead.
    device : torch.device
        What learns; for a GPU batches wait in memory that it can fetch from while it computes.
    """
    waiting: dict[tuple[int, int], Future[Any]] = {}

    def ready(step: int, size: int) -> Any:
        batch = draw(step, size)
        return batch.map(lambda t: t.pin_memory()) if device.type == "cuda" else batch

    with side_thread(dropping=True) as pool:

        def next_batch(step: int, size: int) -> Any:
            found = waiting.pop((step, size), None)
            waiting.clear()
            batch = ready(step, size) if found is None else found.result()
            if step + 1 < steps:
                waiting[step + 1, size] = pool.submit(ready, step + 1, size)
            return batch

        yield next_batch
