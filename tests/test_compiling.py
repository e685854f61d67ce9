"""Compiled loops: the switch that turns them off, and bands."""

import pytest

from cscl import compiling


def test_they_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiling.SWITCH, "0")
    assert compiling.module.__wrapped__("cscl.losses.windows") is None


def test_what_cannot_be_imported_is_not_there() -> None:
    assert compiling.module.__wrapped__("cscl.losses.no_such_loops") is None


@pytest.mark.parametrize(("count", "threads"), [(10, 3), (2, 5), (7, 1), (0, 2)])
def test_bands_cover_all(count: int, threads: int) -> None:
    seen: list[int] = []
    compiling.in_bands(lambda into, first, last: into.extend(range(first, last)), (seen,), count, threads)
    assert sorted(seen) == list(range(count))


def test_errors_come_through() -> None:
    with pytest.raises(ZeroDivisionError):
        compiling.in_bands(lambda first, last: 1 // 0, (), 4, 2)
