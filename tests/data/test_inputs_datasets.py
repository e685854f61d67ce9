"""Datasets in their layouts: what is accepted, and what is refused with which sentence."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_datasets as fake
import numpy as np
import pytest
from input_table import OPENERS, Line, Made, case, garbage, halved, require_complete, tried, try_line

from cscl.data.datasets import Folds, open_dataset
from cscl.grid import Window

DATASETS = "datasets"


@pytest.fixture(scope="module", autouse=True)
def own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Make a dataset of our own once, which its cases copy."""
    OWN.append(fake.own(tmp_path_factory.mktemp("own") / "d"))


OWN: list[Path] = []


def as_dataset(made: Made) -> list[str]:
    path, name = made if isinstance(made, tuple) else (made, None)
    dataset = open_dataset(path, name)
    scene = dataset.entries[0].open()
    values, _ = scene.cube.read(Window(0, 0, 2, 2))
    assert np.isfinite(values).all()
    dataset.moments(Folds.parse(dataset).train)
    return [dataset.name, *dataset.notes, *scene.cube.notes]


OPENERS[DATASETS] = as_dataset


def changed(make: Callable[..., Path], change: Callable[[Path], Any], **options: Any) -> Callable[[Path], Made]:
    """Make a case of a dataset in which something is changed."""

    def built(folder: Path) -> Made:
        change(path := make(folder / "d", **options))
        return path

    return built


def copied(change: Callable[[Path], Any], name: str | None = None) -> Callable[[Path], Made]:
    """Make a case of a dataset of our own in which something is changed."""

    def built(folder: Path) -> Made:
        change(path := Path(shutil.copytree(OWN[0], folder / "d")))
        return path if name is None else (path, name)

    return built


def sample(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Change the pickles of a dataset."""

    def act(path: Path) -> None:
        for file in path.rglob("*.pickle"):
            change(content := pickle.loads(file.read_bytes()))
            fake.save(file, content)

    return act


def first(pattern: str) -> Callable[[Path], Path]:
    return lambda path: sorted(path.rglob(pattern))[0]


def spoil(pattern: str, act: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda path: act(first(pattern)(path))


def card(**told: Any) -> Callable[[Path], Any]:
    """Change the card of a dataset of our own."""

    def act(path: Path) -> None:
        content = json.loads((path / "dataset.json").read_text(encoding="utf-8"))
        (path / "dataset.json").write_text(json.dumps({**content, **told}), encoding="utf-8")

    return act


class Evil:
    def __reduce__(self) -> Any:
        return print, ("a program",)


case(DATASETS, "a folder of something else")(lambda folder: folder)
case(DATASETS, "no folder")(lambda folder: folder / "d")
case(DATASETS, "a layout that is not known")(lambda folder: (folder, "pastiss"))
case(DATASETS, "PASTIS")(changed(fake.pastis, lambda path: None))
case(DATASETS, "PASTIS without dates")(changed(fake.pastis, lambda path: None, **{"dates-S2": None}))
case(DATASETS, "PASTIS with dates that are none")(changed(fake.pastis, lambda path: None, **{"dates-S2": "tomorrow"}))
case(DATASETS, "PASTIS without folds")(changed(fake.pastis, lambda path: None, Fold=None))
case(DATASETS, "PASTIS without ANNOTATIONS")(
    lambda folder: (changed(fake.pastis, lambda path: shutil.rmtree(path / "ANNOTATIONS"))(folder), "pastis")
)
case(DATASETS, "PASTIS without an image that it lists")(changed(fake.pastis, spoil("S2_10000.npy", Path.unlink)))
case(DATASETS, "PASTIS with a truncated image")(changed(fake.pastis, spoil("S2_10000.npy", halved)))
case(DATASETS, "PASTIS with a pickle in place of an image")(
    changed(fake.pastis, spoil("S2_10000.npy", lambda f: np.save(f, np.array([print], object), allow_pickle=True)))
)
case(DATASETS, "PASTIS with an image of complex numbers")(
    changed(fake.pastis, spoil("S2_10000.npy", lambda f: np.save(f, np.load(f).astype(np.complex64))))
)
case(DATASETS, "PASTIS with fewer images than dates")(
    changed(fake.pastis, spoil("S2_10000.npy", lambda f: np.save(f, np.load(f)[1:])))
)
case(DATASETS, "PASTIS with classes that are none")(
    changed(fake.pastis, spoil("TARGET_10000.npy", lambda f: np.save(f, np.full((3, 24, 24), 20, np.uint8))))
)
case(DATASETS, "PASTIS with truncated metadata")(changed(fake.pastis, spoil("metadata.geojson", halved)))
case(DATASETS, "PASTIS with statistics of other bands")(
    changed(fake.pastis, spoil("NORM_S2_patch.json", lambda f: f.write_text('{"Fold_1": {"mean": [1]}}')))
)
case(DATASETS, "PASTIS24")(changed(fake.pastis24, lambda path: None))
case(DATASETS, "PASTIS24 without lists")(
    changed(fake.pastis24, lambda path: [f.unlink() for f in (path / "fold-paths").iterdir()])
)
case(DATASETS, "PASTIS24 with days that are none")(
    changed(fake.pastis24, sample(lambda c: c.update(doy=c["doy"] + 300)))
)
case(DATASETS, "a pickle that lacks a key")(changed(fake.pastis24, sample(lambda c: c.pop("doy"))))
case(DATASETS, "a pickle that runs a program")(changed(fake.pastis24, sample(lambda c: c.update(doy=Evil()))))
case(DATASETS, "a truncated pickle")(changed(fake.pastis24, spoil("*.pickle", halved)))
case(DATASETS, "a file that is no pickle")(changed(fake.pastis24, spoil("*.pickle", garbage)))
case(DATASETS, "MTLCC")(changed(fake.mtlcc, lambda path: None))
case(DATASETS, "MTLCC with more days than images")(
    changed(fake.mtlcc, sample(lambda c: c.update(day=np.append(c["day"], 300))))
)
case(DATASETS, "a list that leads out of the dataset")(
    changed(fake.mtlcc, lambda path: (path / "train_paths.csv").write_text("../../etc/passwd.pickle\n"))
)
case(DATASETS, "lists that name nothing")(
    changed(fake.mtlcc, lambda path: [f.write_text("") for f in path.glob("*_paths.csv")])
)
case(DATASETS, "T31TFM_1618")(changed(fake.t31tfm, lambda path: None))
case(DATASETS, "T31TFM_1618 with a band that has no images")(
    changed(fake.t31tfm, sample(lambda c: c.update(B02=c["B02"][:0])))
)
case(DATASETS, "patches of cscl make-dataset")(copied(lambda path: None))
case(DATASETS, "these, and their finer labels")(copied(lambda path: None, "cscl_finer"))
case(DATASETS, "finer labels that are not there")(copied(card(finer=1), "cscl_finer"))
case(DATASETS, "a version that is not known")(copied(card(version=2)))
case(DATASETS, "a truncated card")(copied(spoil("dataset.json", halved)))
case(DATASETS, "no scenes")(copied(card(scenes=[])))
case(DATASETS, "statistics of other bands")(copied(card(bands=["B02"])))
case(DATASETS, "a store without a part")(copied(spoil("patches.zarr/season/zarr.json", Path.unlink)))
case(DATASETS, "truncated labels")(copied(spoil("patches.zarr/season/class/c/0/0/0", halved)))
case(DATASETS, "truncated images")(copied(spoil("patches.zarr/season/image/c/0/0/0/0/0", halved)))


@tried(DATASETS)
def test_what_is_said_of_an_input(line: Line, tmp_path: Path) -> None:
    try_line(line, tmp_path)


def test_every_line_has_its_case_and_every_case_its_line() -> None:
    require_complete(DATASETS)
