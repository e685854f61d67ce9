"""Published datasets in their official layouts, a few entries each, that a network can learn in seconds."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import xarray as xr
from affine import Affine
from numpy.typing import NDArray
from shapely.geometry import box

from cscl.cube import Radiometry, SITSCube
from cscl.events import run
from cscl.grid import make_grid
from cscl.parcels import Parcels
from cscl.patches.make import make_dataset
from cscl.patches.options import PatchOptions

SIDE = 24
DAYS = (265, 300, 340, 95, 125, 155, 185)  # from autumn 2018 to summer 2019


def crops(size: int, seed: int, among: tuple[int, ...]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Classes and parcel numbers of square parcels, axes (y, x)."""
    rng = np.random.default_rng(seed)
    square, count = np.ones((6, 6), int), size // 6
    classes = np.kron(rng.choice(among, (count, count)), square)
    return classes, np.kron(1_000_000_000 + rng.permutation(count * count).reshape(count, count), square)


def series(classes: NDArray[Any], bands: int, dates: int, seed: int) -> NDArray[np.int16]:
    """Numbers that tell classes apart by season and band, axes (time, band, y, x)."""
    rng = np.random.default_rng(seed)
    phase = classes[None, None] * 1.7 + np.arange(dates)[:, None, None, None] + np.arange(bands)[:, None, None] * 0.3
    return (2500 + 1500 * np.sin(phase) + rng.normal(0, 60, phase.shape)).astype(np.int16)


def pastis(folder: Path, patches: int = 5, **changed: Any) -> Path:
    """PASTIS: of `changed`, columns of the metadata replace those that are written, or with None leave them out."""
    for part in ("DATA_S2", "ANNOTATIONS", "INSTANCE_ANNOTATIONS"):
        (folder / part).mkdir(parents=True)
    rows = []
    for number in range(patches):
        classes, parcels = crops(SIDE, number, (0, 2, 3))
        classes[:4] = 19  # void
        dates = 7 - number % 2  # they differ from patch to patch
        np.save(folder / "DATA_S2" / f"S2_{10000 + number}.npy", series(classes, 10, dates, number))
        np.save(folder / "ANNOTATIONS" / f"TARGET_{10000 + number}.npy", np.stack([classes] * 3).astype(np.uint8))
        np.save(folder / "ANNOTATIONS" / f"ParcelIDs_{10000 + number}.npy", parcels)
        stamps = {str(i): int(f"{2018 + (day < 200)}{_month_day(day)}") for i, day in enumerate(DAYS[:dates])}
        fields = {"ID_PATCH": 10000 + number, "Fold": number % 5 + 1, "TILE": "t31tfm", "dates-S2": json.dumps(stamps)}
        rows.append({**fields, **changed})
    west = 500000 + 300 * np.arange(patches)
    squares = [box(x, 5100000, x + SIDE * 10, 5100000 + SIDE * 10) for x in west]
    table = geopandas.GeoDataFrame(rows, geometry=squares, crs="EPSG:32631").to_crs("EPSG:2154")
    table.drop(columns=[k for k, v in changed.items() if v is None]).to_file(folder / "metadata.geojson")
    moments = {f"Fold_{f}": {"mean": [2500 + f] * 10, "std": [1000.0] * 10} for f in range(1, 6)}
    (folder / "NORM_S2_patch.json").write_text(json.dumps(moments), encoding="utf-8")
    return folder


def pastis24(folder: Path, windows: int = 10) -> Path:
    """PASTIS24 with a list for each fold, and a joint one."""
    (folder / "fold-paths").mkdir(parents=True)
    for number in range(windows):
        classes, _ = crops(SIDE, number, (0, 2, 3))
        classes[:4] = 19
        content = {"img": series(classes, 10, 7, number), "labels": classes[None].astype(float), "doy": np.array(DAYS)}
        save(folder / "pickle24x24" / f"{10000 + number // 2}_{number % 2}.pickle", content)
    for fold in range(1, 6):
        numbers = [n for n in range(windows) if n % 5 + 1 == fold]
        lines = [f"pickle24x24/{10000 + n // 2}_{n % 2}.pickle" for n in numbers]
        (folder / "fold-paths" / f"fold_{fold}_paths.csv").write_text("\n".join(lines) + "\n")
        with (folder / "fold-paths" / "folds_1_123_paths.csv").open("a") as joint:
            joint.write("\n".join(lines) + "\n" if fold < 4 else "")
    return folder


def mtlcc(folder: Path, tiles: int = 6, deepsat: bool = False) -> Path:
    """MTLCC, as converted records or, with `deepsat`, with a key a band."""
    place = "data_IJGI18/datasets/full/240pkl/data16"
    lists: dict[str, list[str]] = {"train": [], "eval": []}
    for number in range(tiles):
        classes, _ = crops(SIDE, number, (0, 22, 26))
        values = series(classes, 13, 7, number)
        coarse = {"x10": values[:, :4], "x20": values[:, 4:10, ::2, ::2], "x60": values[:, 10:, ::6, ::6]}
        days = np.array([*sorted(DAYS)[:6], 0], np.int16)  # the last one is padded
        content = {k: v.transpose(0, 2, 3, 1) for k, v in coarse.items()}
        content |= {"day": days, "year": np.full(7, 2015, np.int16), "labels": np.stack([classes] * 7).astype(np.int8)}
        if deepsat:
            content = dict(zip(DEEPSAT, (v[:, b] for v in coarse.values() for b in range(v.shape[1])), strict=True))
            content |= {"doy": days, "labels": classes.astype(np.float32)}
        save(folder / place / f"{number}.pickle", content)
        lists["eval" if number % 3 == 2 else "train"].append(f"{place}/{number}.pickle")
    lists["train"].append(f"{place.replace('data16', 'data17')}/0.pickle")  # of another year: not used
    for name, rows in lists.items():
        (folder / f"{name}_paths.csv").write_text("\n".join(rows))
    return folder


DEEPSAT = ("B04", "B03", "B02", "B08", "B05", "B06", "B07", "B8A", "B11", "B12", "B01", "B09", "B10")


def t31tfm(folder: Path, samples: int = 6) -> Path:
    """T31TFM_1618 with samples of 48 pixels, one of them in each year."""
    lists: dict[str, list[str]] = {"train": [], "eval": []}
    for number in range(samples):
        classes, parcels = crops(48, number, (1, 9, 4))  # 4 is none of the 20 classes
        values = series(classes, 13, 7, number).astype(np.uint16)
        steps = [1] * 4 + [2] * 6 + [6] * 3
        content: dict[str, Any] = {
            b: values[:, i, ::s, ::s] for i, (b, s) in enumerate(zip(DEEPSAT, steps, strict=True))
        }
        full, part = np.zeros((2, 48, 48), np.float32)
        full[0, 0] = part[0, 1] = 1
        labels = {"labels": classes, "ids": parcels, "groups": classes, "full_ass": full, "part_ass": part}
        content |= {"doy": np.array(sorted(DAYS)), "year": 2016 + number % 3}
        content |= {k: v.astype(np.float32) for k, v in labels.items()}
        content |= {f"{k}_x4": v.astype(np.float32).repeat(4, 0).repeat(4, 1) for k, v in labels.items()}
        content["ids"], content["ids_x4"] = parcels, parcels.repeat(4, 0).repeat(4, 1)  # floats would merge them
        name = f"{2016 + number % 3}/pkl_timeseries/W_N_E_S/{6600000 - 480 * number}_800000_{2016 + number % 3}.pickle"
        save(folder / name, content)
        lists["eval" if number % 3 == 2 else "train"].append(name)
    (folder / "paths").mkdir()
    for name, rows in lists.items():
        (folder / "paths" / f"{name}_paths.csv").write_text("\n".join(rows))
    return folder


def own(folder: Path) -> Path:
    """Write one as ``cscl make-dataset`` does: nine patches of a season with parcels, labels at 2.5 m, too."""
    classes, _ = crops(3 * SIDE, 0, (1, 2, 3))
    grid = make_grid(classes.shape, Affine(10, 0, 5e5, 0, -10, 5e6), "EPSG:32631", "season")
    times = np.datetime64("2021-03-05", "ns") + (np.arange(7) * 30).astype("timedelta64[D]")
    axes = {"time": times, "band": [f"B{band:02}" for band in range(1, 11)]}
    values = series(classes, 10, 7, 0).clip(1).astype(np.uint16)
    stored = xr.DataArray(values, dims=("time", "band", "y", "x"), coords=axes)
    cube = SITSCube(stored, grid, Radiometry((1e-4,) * 7, (0.0,) * 7, 0, "toy"), name="season")
    rows = [
        {"code": str(classes[y, x]), "geometry": box(5e5 + 10 * x, 5e6 - 10 * y - 60, 5e5 + 10 * x + 60, 5e6 - 10 * y)}
        for y in range(0, 3 * SIDE, 6)
        for x in range(0, 3 * SIDE, 6)
    ]
    table = geopandas.GeoDataFrame(rows, crs="EPSG:32631").assign(parcel_id=1 + np.arange(len(rows)))
    register = Parcels(table, "register", class_column="code")
    return run(make_dataset([(cube, register)], folder, PatchOptions(patch_px=SIDE, finer=4)))


def save(path: Path, content: object, protocol: int = 4) -> Path:
    """Pickle something."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def _month_day(day: int) -> str:
    date = np.datetime64("2019-01-01") + day - 1
    return str(date)[5:].replace("-", "")
