"""Drafts of results: two at once, what killed runs leave, full disks, and tables of a former result."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from cscl.errors import OutputError
from cscl.export.draft import draft
from cscl.export.part_files import result_folder


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    with draft(tmp_path, "result") as one:
        with draft(tmp_path, "result") as two:
            for folder, text in ((one, "first"), (two, "second")):
                (folder / "a.csv").write_text(text)
        assert (tmp_path / "a.csv").read_text() == "second" and (one / "a.csv").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"] and (tmp_path / "a.csv").read_text() == "first"


def test_what_a_killed_run_left_goes_after_a_day(tmp_path: Path) -> None:
    old, new = tmp_path / "result.abc.part", tmp_path / "result.def.part"
    for left in (old, new):
        left.mkdir()
    os.utime(old, (0, 0))
    with draft(tmp_path, "result"):
        assert not old.exists() and new.exists()


def test_a_full_disk_names_the_place_that_the_user_gave(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OutputError, match=f"^{tmp_path} cannot be written.*No space left"), draft(tmp_path, "result"):
        raise full
    place = tmp_path / "map.tif"
    with (
        pytest.raises(OutputError, match=f"^{place} cannot be written"),
        draft(tmp_path, "export") as folder,
        draft(folder, "map.tif"),
    ):
        raise full


def test_tables_of_a_former_result_do_not_stay_beside_new_ones(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for names in (("report.json", "objects.csv"), ("report.json", "kinds.csv")):
        with result_folder(out, "report.json", overwrite=True) as folder:
            for name in names:
                (folder / name).write_text(name)
        (out / "my_notes.txt").write_text("mine")
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "kinds.csv", "my_notes.txt", "report.json",
    ]  # fmt: skip
