"""Sentinel-2 images as files of one band each, named by tile and time: T31UFS_20210601T105031_B04_10m.jp2."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cscl.cube import Acquisition, SITSCube
from cscl.errors import InputError

from . import Reader, ReadOptions, readers
from ._acquired import Image, Layer, cube_of
from ._dates import date_in_name
from ._layers import known
from ._s2_metadata import BANDS, NATIVE_M, USUAL, Product, product_of

_NAME = re.compile(
    r"^(?:L2A_)?(?P<image>T(?P<tile>\d\d[A-Z]{3})_(?P<time>\d{8}T\d{6}))_(?P<what>B\d\d|B8A|SCL|CLDPRB)"
    r"(?:_(?P<size>\d\d)m)?\.(?:jp2|tiff?)$",
    re.IGNORECASE,
)
_SHIFTED = np.datetime64("2022-01-25")  # from this day on ESA has made all images with the shift
_DEEP = 2  # folders below the one that is given
_UP = 4  # folders above an image in which the metadata of its product may lie

Files = dict[str, tuple[int, Path]]


def matches(path: Path) -> bool:
    """Whether a folder holds such files, itself or in folders below."""
    return path.is_dir() and next(_files(path), None) is not None


def open_bands(path: Path, options: ReadOptions) -> SITSCube:
    """Open a folder; what the names do not say comes from metadata beside the files, if any, or is assumed aloud."""
    images: dict[str, Files] = {}
    for file in _files(path):
        match = _NAME.match(file.name)
        assert match
        size = int(match["size"] or NATIVE_M.get(match["what"].upper(), 20))
        _keep_finer(images.setdefault(match["image"].upper(), {}), match["what"].upper(), size, file)
    products = _products({file.parent for files in images.values() for _, file in files.values()}, options)
    made = [_image(name, files, products.get(name), options) for name, files in sorted(images.items())]
    if options.mask is None and (path / "masks").is_dir():
        options = replace(options, mask="masks")
    notes = _assumed(sum(guessed for _, guessed in made), len(made))
    name = path.resolve().name
    return cube_of([image for image, _ in made], options, name, notes=notes, folder=path, guessed=bool(notes))


readers.register("sentinel2_bands")(
    Reader("a folder of Sentinel-2 bands, one a file, such as T31UFS_20210601T105031_B04_10m.jp2", matches, open_bands)
)


def _files(path: Path, deep: int = _DEEP) -> Iterator[Path]:
    folders = []
    for child in sorted(path.iterdir()):
        if _NAME.match(child.name):
            yield child
        elif child.is_dir() and not child.name.startswith(".") and child.name != "masks":
            folders.append(child)
    for folder in folders if deep else ():
        yield from _files(folder, deep - 1)


def _keep_finer(files: Files, what: str, size: int, file: Path) -> None:
    there = files.get(what)
    if there is not None and there[0] == size:
        raise InputError(f"{there[1]} and {file} are the same band of the same image. Keep one of them.")
    if there is None or size < there[0]:
        files[what] = size, file


def _products(folders: set[Path], options: ReadOptions) -> dict[str, Product]:
    """Metadata of products, by the name of their image, from the folders of the files and some above these."""
    near = {place for folder in folders for place in (folder, *folder.absolute().parents[:_UP])}
    found = {}
    for file in sorted(file for place in near for file in place.glob("*MTD_MSIL*.xml")):
        product = product_of(file.read_bytes(), str(file), options)
        tile = re.search(r"_(T\d\d[A-Z]{3})_", product.origin.product)
        if tile:
            found[f"{tile[1]}_{str(product.time)[:19].replace('-', '').replace(':', '')}"] = product
    return found


def _image(name: str, files: Files, product: Product | None, options: ReadOptions) -> tuple[Image, bool]:
    """Make an image of its files; and say whether its offset is assumed."""
    match, time = _NAME.match(f"{name}_B02.jp2"), date_in_name(name)
    if match is None or time is None:
        raise InputError(f"{next(iter(files.values()))[1]} is of no day of the calendar. Correct its name.")
    layers, guessed = {}, False
    for band in BANDS if options.bands else USUAL if set(USUAL) & set(files) else BANDS:
        if band not in files:
            continue
        layer = Layer(str(files[band][1]))
        if options.bands is None or band in options.bands:
            layer = known(layer, options.crs)
        unsaid = layer.offset is None and layer.dtype is not None and layer.dtype.startswith(("uint", "int"))
        if product is not None:
            layer = replace(layer, scale=product.scale, offset=product.offsets.get(band))
        elif unsaid and options.offset is None:
            layer, guessed = replace(layer, offset=-0.1 if time >= _SHIFTED else 0.0), True
        layers[band] = replace(layer, nodata=0.0 if layer.nodata is None and unsaid else layer.nodata)
    origin = Acquisition(name, level="L2A" if "SCL" in files else None) if product is None else product.origin
    classes, clouds = (Layer(str(files[what][1])) if what in files else None for what in ("SCL", "CLDPRB"))
    made = None if product is None else product.made
    return Image(time, replace(origin, tile=match["tile"]), layers, classes, clouds, made), guessed


def _assumed(guessed: int, images: int) -> tuple[str, ...]:
    if not guessed:
        return ()
    return (
        f"Nothing says by which baseline {guessed} of {images} images were processed, so their offset is assumed: 0 "
        "before 2022-01-25, -0.1 from that day on, as ESA made them first. If they were processed anew since, say "
        "--offset -0.1; if somebody took the shift out, --offset 0.",
    )
