"""Sentinel-2 products as ESA delivers them (SAFE), levels 1C and 2A: folders or zips, one or a season of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cscl.cube import SITSCube
from cscl.errors import InputError

from . import Reader, ReadOptions, readers
from ._acquired import Image, Layer, cube_of
from ._packages import Package, package
from ._s2_metadata import BANDS, NATIVE_M, USUAL, Product, product_of, tile_grids

_NAME = re.compile(
    r"^S2[A-Z]_MSI(?P<level>L1C|L2A)_\d{8}T\d{6}_N(?P<baseline>\d{4})_R\d{3}_T(?P<tile>\d\d[A-Z]{3})_\d{8}T\d{6}"
)
_OLD = re.compile(r"^S2[A-Z]_OPER_")
_METADATA = re.compile(r"(?:^|/)MTD_MSIL(?:1C|2A)\.xml$")
_FILE = re.compile(r"_(?P<what>B\d\d|B8A|SCL|CLD|CLDPRB)(?:_(?P<size>\d\d)m)?$")
_TYPE = {"SCL": "uint8", "CLD": "uint8", "CLDPRB": "uint8"}
_DEEP = 2  # folders below the one that is given


def matches(path: Path) -> bool:
    """Whether the path is a product, its metadata file, or a folder with products."""
    if path.is_file() and path.suffix.lower() == ".xml":
        return _METADATA.search(path.name) is not None
    return next(_products(path), None) is not None


def open_safe(path: Path, options: ReadOptions) -> SITSCube:
    """Open a product or a season of them; bands of 60 m are read on request only."""
    folder = path.parent if path.suffix.lower() == ".xml" else path
    images = [image for product in _products(folder) for image in _images(package(product), options)]
    size = 10.0 if options.pixel_m is None else options.pixel_m
    return cube_of(images, replace(options, pixel_m=size), folder.resolve().name, notes=_left_out(options), folder=path)


readers.register("sentinel2_safe")(
    Reader(
        "Sentinel-2 products (SAFE folders or zips, or a folder with a season of them)",
        matches,
        open_safe,
        files=("*.zip", "MTD_MSIL*.xml"),
    )
)


def _products(path: Path, deep: int = _DEEP) -> Iterator[Path]:
    """Yield folders and zips that are products, or look like ones."""
    if path.is_file():
        if path.suffix.lower() == ".zip" and (_NAME.match(path.name) or _OLD.match(path.name) or _holds_product(path)):
            yield path
    elif path.suffix.upper() == ".SAFE" or any(_METADATA.search(file.name) for file in path.glob("MTD_MSIL*.xml")):
        yield path
    elif deep >= 0:
        for child in sorted(path.iterdir()):
            if not child.name.startswith(".") and (child.is_dir() or child.suffix.lower() == ".zip"):
                yield from _products(child, deep - 1)


def _holds_product(path: Path) -> bool:
    try:
        return any(_METADATA.search(name) for name in package(path).names)
    except InputError:
        return False


def _images(files: Package, options: ReadOptions) -> Iterator[Image]:
    """Yield the images of a folder or zip: one, but for unusual zips of several products."""
    metadata = [name for name in files.names if _METADATA.search(name)]
    if not metadata and (_OLD.match(files.path.name) or any(_OLD.match(Path(name).name) for name in files.names)):
        raise InputError(
            f"{files.path} has the layout of before December 2016. Get the product as ESA has processed it since "
            "(baseline 05.00, Collection 1)."
        )
    if not metadata:
        raise InputError(f"{files.path} has no MTD_MSIL1C.xml or MTD_MSIL2A.xml: it is not whole. Get it again.")
    for name in metadata:
        where = f"{files.path}/{name}"
        product = product_of(files.read(name), where, options)
        root = name.rpartition("/")[0]
        _require_honest(PurePosixPath(root).name or files.path.name, product)
        inside = [n for n in files.names if n.startswith(f"{root}/" if root else "")]
        yield _image(files, root, inside, product, options)


def _require_honest(name: str, product: Product) -> None:
    """Refuse a product whose name says other than its metadata: one of them was exchanged."""
    told = _NAME.match(name)
    baseline = product.origin.baseline or ""
    if told and (told["baseline"], told["level"]) != (baseline.replace(".", ""), product.origin.level):
        raise InputError(
            f"{name} is of level {told['level']} and baseline {told['baseline'][:2]}.{told['baseline'][2:]} by its "
            f"name, but of {product.origin.level} and {baseline} by its metadata. Get the product again, or name it "
            "as it is."
        )


def _image(files: Package, root: str, names: list[str], product: Product, options: ReadOptions) -> Image:
    where = f"{files.path}/{root}" if root else str(files.path)
    found = _finest(names)
    _require_whole(found, product, where, options)
    tile, grids = next(
        (tile_grids(files.read(n), f"{files.path}/{n}") for n in names if n.endswith("/MTD_TL.xml")), (None, {})
    )
    own = PurePosixPath(where).name.removesuffix(".SAFE")
    told = _NAME.match(product.origin.product) or _NAME.match(own)
    layers = {}
    for what, (name, size) in found.items():
        layer = Layer(files.place(name), grid=grids.get(size))
        if what in BANDS:
            layer = replace(layer, scale=product.scale, offset=product.offsets.get(what), nodata=0.0)
        layers[what] = replace(layer, dtype=_TYPE.get(what, "uint16")) if layer.grid else layer
    return Image(
        product.time,
        replace(product.origin, product=product.origin.product or own, tile=tile or (told["tile"] if told else None)),
        {band: layers[band] for band in (BANDS if options.bands else USUAL) if band in layers},
        layers.get("SCL"),
        layers.get("CLDPRB", layers.get("CLD")),
        product.made,
    )


def _finest(names: list[str]) -> dict[str, tuple[str, int]]:
    """Band, or what else a file shows, to the file of the smallest pixels and their size in metres."""
    found: dict[str, tuple[str, int]] = {}
    for name in names:
        path = PurePosixPath(name)
        match = _FILE.search(path.stem)
        if match and path.suffix.lower() in {".jp2", ".tif", ".tiff"} and {"IMG_DATA", "QI_DATA"} & set(path.parts):
            size = int(match["size"] or NATIVE_M.get(match["what"], 20))
            if match["what"] not in found or size < found[match["what"]][1]:
                found[match["what"]] = name, size
    return found


def _require_whole(found: dict[str, tuple[str, int]], product: Product, where: str, options: ReadOptions) -> None:
    """Refuse a product that lacks what is to be read, or has it coarser than it was made."""
    wanted = [band for band in options.bands or USUAL if band in BANDS]
    enough = {band: max(NATIVE_M[band], options.pixel_m or 0) for band in wanted}
    lost = [band for band in wanted if band not in found or found[band][1] > enough[band]]
    if product.origin.level == "L2A" and "SCL" not in found:
        lost.append("SCL")
    if lost:
        raise InputError(f"{where} lacks the files of {', '.join(lost)}: it is not whole. Get the product again.")


def _left_out(options: ReadOptions) -> tuple[str, ...]:
    if options.bands is not None:
        return ()
    return ("Bands of 60 m (B01, B09, of level 1C also B10) are left out; name them with --bands to have them.",)
