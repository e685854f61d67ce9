"""Checksums: what ``sha256sum`` itself takes."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from cscl.events import Progress, run
from cscl.export import checksums
from cscl.export.checksums import digests, files_of, write_checksums


def fill(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "export.x.part").mkdir()
    for name in ("map.tif", "sub/blé d'hiver.csv", "back\\slash", "empty", "export.x.part/half", "SHA256SUMS"):
        (folder / name).write_text("" if name == "empty" else name)


def test_gnu_agrees(tmp_path: Path) -> None:
    fill(tmp_path)
    path = run(write_checksums(tmp_path))
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1] == hashlib.sha256(b"").hexdigest() + "  empty"
    assert [line.split("  ")[1] for line in lines] == ["back\\\\slash", "empty", "map.tif", "sub/blé d'hiver.csv"]
    if shutil.which("sha256sum") is None:
        pytest.skip("sha256sum is not here")
    check = ["sha256sum", "--check", "--strict", path.name]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 0
    (tmp_path / "map.tif").write_text("another map")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True).returncode == 1


def test_large_files_are_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksums, "CHUNK_BYTES", 10)
    monkeypatch.setattr(checksums, "CHUNKS_AN_EVENT", 2)
    (tmp_path / "a").write_bytes(bytes(range(100)))
    events: list[object] = []
    assert run(digests(tmp_path), events.append) == {"a": hashlib.sha256(bytes(range(100))).hexdigest()}
    assert len([e for e in events if isinstance(e, Progress)]) == 7


def test_known_digests_are_taken_and_a_run_that_ends_early_leaves_the_former(tmp_path: Path) -> None:
    fill(tmp_path)
    job = write_checksums(tmp_path)
    next(job)
    job.close()
    assert (tmp_path / "SHA256SUMS").read_text() == "SHA256SUMS" and len(list(tmp_path.glob("*.part"))) == 1
    run(write_checksums(tmp_path, dict.fromkeys(files_of(tmp_path), "0" * 64)))
    assert (tmp_path / "SHA256SUMS").read_text().count("0" * 64) == 4
