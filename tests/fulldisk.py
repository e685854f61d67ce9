"""A full disk, as far as a test can have one: a limit on the size of files, at which writing fails as it does there."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def full_disk(largest_bytes: float) -> Iterator[None]:
    """Let no file of this process grow beyond a size inside; the test is skipped where there is no such limit."""
    resource = pytest.importorskip("resource", reason="this system cannot limit the size of files")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_bytes), former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
