"""Pickles of other people: arrays come out, and nothing of theirs is run."""

import collections
import contextlib
import gzip
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_datasets import save

from cscl.data.datasets._pickles import array_of, read_pickle
from cscl.errors import InputError, MissingError

ARRAYS = {
    "img": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "big endian": np.arange(5, dtype=">f4"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.uint8),
    "scalar": np.float32(0.5),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_protocol_come_out_as_they_went_in(protocol: int, tmp_path: Path) -> None:
    content = {**ARRAYS, "plain": [1, "two", (3.0, None)], "ordered": collections.OrderedDict(a=1)}
    found = read_pickle(save(tmp_path / "a.pickle", content, protocol))
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(found[key], array)
        assert np.asarray(found[key]).shape == array.shape
    assert found["img"].dtype == np.int16 and found["plain"] == content["plain"] and found["ordered"] == {"a": 1}


def test_python_2_pickles_are_read(tmp_path: Path) -> None:
    text = (
        b"\x80\x02}q\x00U\x01aq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b"
        b"\x87Rq\x04(K\x01K\x02\x85cnumpy\ndtype\nU\x02u2K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tb\x89U\x04\x01\x00\xff\x00tbs."
    )
    (tmp_path / "a.pickle").write_bytes(text)
    assert read_pickle(tmp_path / "a.pickle")["a"].tolist() == [1, 255]


class Malicious:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("call", [(os.system, "touch {}"), (eval, "open('{}', 'w')"), (getattr, "a", "__class__")])
def test_a_malicious_pickle_is_refused_and_not_run(call: Any, protocol: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    call = (call[0], *(text.format(mark) for text in call[1:]))
    path = save(tmp_path / "a.pickle", {"img": ARRAYS["img"], "labels": Malicious(*call)}, protocol)
    with pytest.raises(InputError, match="only arrays and plain containers"):
        read_pickle(path)
    assert not mark.exists()


TRICKS = {
    "a name with dots": b"\x80\x04\x8c\x05numpy\x8c\x15core.multiarray.scalar\x93.",
    "an old instance": b"(S'touch {mark}'\nios\nsystem\n.",
    "an object on the stack": b"(cos\nsystem\nS'touch {mark}'\no.",
    "a name put together": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x0ctouch {mark}\x85R.",
    "a new object": b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85\x81.",
    "an extension": b"\x80\x02\x82\x01.",
    "a persistent id": b"\x80\x02Pmark\n.",
    "state for a class of ours": b"\x80\x02cnumpy\ndtype\n}X\x05\x00\x00\x00arrayX\x01\x00\x00\x001sb.",
    "state for the type of mappings": b"\x80\x02ccollections\nOrderedDict\nN}X\x03\x00\x00\x00getK\x01s\x86b.",
    "a place far off": b"\x80\x02}r\x80\x96\x98\x00.",
    "a place below zero": b"(dp-1\n.",
    "bytes that are not there": b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_of_the_protocol_are_refused(trick: str, packed: bool, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "a.pickle"
    data = TRICKS[trick].replace(b"{mark}", str(mark).encode())
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(InputError, match=r"is not read|damaged or no pickle"):
        read_pickle(path)
    assert not mark.exists()
    np.testing.assert_array_equal(read_pickle(save(tmp_path / "b.pickle", ARRAYS))["img"], ARRAYS["img"])


def nested(levels: int) -> Any:
    value: Any = [1]
    for _ in range(levels):
        value = [value] * 30
    return value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": np.array([1, None])}, "array of objects"),
        ({"a": np.zeros(2, [("x", "i2"), ("y", "f4")])}, "not of numbers|plain containers"),
        ({"a": np.array(["2018-09-01"], "datetime64[D]")}, "not of numbers"),
        ({"a": nested(3)}, "too many"),
        ({"a": nested(9)}, "too deep"),
        ({"a": Path("x")}, "only arrays and plain containers"),
        ([1, 2], "holds a list"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(content: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        read_pickle(save(tmp_path / "a.pickle", content))


def test_truncated_altered_and_missing_files_are_sentences(tmp_path: Path) -> None:
    whole = save(tmp_path / "a.pickle", ARRAYS).read_bytes()
    rng = np.random.default_rng(0)
    for length in [0, 1, *range(2, len(whole), 7)]:
        (tmp_path / "a.pickle").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"damaged|not read"):
            read_pickle(tmp_path / "a.pickle")
    for _ in range(400):  # bytes changed at random: read or refused, never anything else
        changed = bytearray(whole)
        changed[int(rng.integers(len(whole)))] = int(rng.integers(256))
        (tmp_path / "a.pickle").write_bytes(changed)
        with contextlib.suppress(InputError):
            read_pickle(tmp_path / "a.pickle")
    with pytest.raises(MissingError, match="which the dataset lists"):
        read_pickle(tmp_path / "b.pickle")


def test_a_missing_key_says_what_there_is_and_what_the_layout_has(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no 'doy'. It has img, x; the official layout has img and doy"):
        array_of({"img": ARRAYS["img"], "x": 1}, "doy", tmp_path / "a.pickle", "img and doy")
    with pytest.raises(InputError, match="not numbers"):
        array_of({"img": "text"}, "img", tmp_path / "a.pickle", "img and doy")
