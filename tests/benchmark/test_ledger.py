"""The ledger: it survives crashes and takes lines from several processes."""

import multiprocessing
from pathlib import Path

from cscl.benchmark.ledger import append, read, try_lock


def test_a_torn_line_is_passed_over_and_tears_no_other(tmp_path: Path) -> None:
    ledger = tmp_path / "new" / "ledger.jsonl"
    append(ledger, {"id": "a", "value": float("nan")})
    with ledger.open("ab") as stream:
        stream.write(b'{"id": "b", "val')
    append(ledger, {"id": "c", "word": "maïs"})
    rows, warnings = read(ledger)
    assert rows == [{"id": "a", "value": None}, {"id": "c", "word": "maïs"}]
    assert len(warnings) == 1 and "Line 2" in warnings[0]
    assert read(tmp_path / "none") == ([], [])


def write_many(ledger: Path, who: int) -> None:
    for number in range(40):
        append(ledger, {"who": who, "number": number, "long": "x" * 5000})


def test_processes_do_not_write_into_one_another(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(ledger, who)) for who in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows, warnings = read(ledger)
    assert not warnings and len(rows) == 120
    assert [row["number"] for row in rows if row["who"] == 1] == list(range(40))


def test_a_lock_is_given_back_when_its_file_is_closed(tmp_path: Path) -> None:
    held = try_lock(tmp_path / "lock")
    assert held is not None and try_lock(tmp_path / "lock") is None
    held.close()
    again = try_lock(tmp_path / "lock")
    assert again is not None
    again.close()
