"""Searching a catalogue of images on the network (STAC API): what is found becomes a file that is opened as images."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from cscl.errors import InputError, MissingError, OutputError
from cscl.events import Job, Note, Progress
from cscl.parcels import Parcels

from .readers._dates import date_in_name
from .readers._region import require_in_order
from .readers._stac_addresses import unsigned
from .stac import is_stac

if TYPE_CHECKING:
    from pystac_client import Client

__all__ = ["CATALOGUES", "Catalogue", "SearchOptions", "search"]

PAGE = 100
TIMEOUT_S = 30.0
RETRIES = 2
Json = dict[str, Any]


@dataclass(frozen=True)
class Catalogue:
    """A catalogue that is known: its address, its collection of surface reflectance, and how its images are read."""

    url: str
    collection: str
    reading: str


CATALOGUES = {
    "earth-search": Catalogue(
        "https://earth-search.aws.element84.com/v1",
        "sentinel-2-c1-l2a",
        "The images are read from Amazon's cloud, without a key.",
    ),
    "planetary-computer": Catalogue(
        "https://planetarycomputer.microsoft.com/api/stac/v1",
        "sentinel-2-l2a",
        "The images are read from Microsoft's cloud with tokens that end after an hour or so; reading gets them by "
        "itself, without a key, and they are in no file.",
    ),
    "cdse": Catalogue(
        "https://stac.dataspace.copernicus.eu/v1",
        "sentinel-2-l2a",
        "The images are read from s3://eodata with a key of yours, which dataspace.copernicus.eu gives. Set "
        "AWS_S3_ENDPOINT=eodata.dataspace.copernicus.eu, AWS_VIRTUAL_HOSTING=FALSE, AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY before they are opened.",
    ),
}


@dataclass(frozen=True)
class SearchOptions:
    """What is searched, and where."""

    catalog: Annotated[
        str, {"tooltip": f"Address of a STAC API, or one of {', '.join(CATALOGUES)}"}
    ] = "earth-search"  # fmt: skip
    collection: Annotated[
        str | None, {"tooltip": "Collection to search, e.g. sentinel-2-l2a; a catalogue known by name has its own"}
    ] = None
    region: Annotated[
        str | None, {"tooltip": "Where: WEST,SOUTH,EAST,NORTH in degrees, or a file of polygons, whose extent counts"}
    ] = None
    first_date: Annotated[str | None, {"tooltip": "First day, e.g. 2021-03-01"}] = None
    last_date: Annotated[str | None, {"tooltip": "Last day, e.g. 2021-09-30"}] = None
    cloud: Annotated[float | None, {"tooltip": "Leave out images with more clouds than this, in percent"}] = None
    most: Annotated[int, {"min": 1, "max": 5000, "tooltip": "Stop after as many images"}] = 1000

    def __post_init__(self) -> None:
        require_in_order(self.first_date, self.last_date)
        if self.cloud is not None and not 0 <= self.cloud <= 100:
            raise InputError(f"{self.cloud:g} is no share of clouds. Give 0 to 100 percent.")
        if not 1 <= self.most <= 5000:
            raise InputError(f"{self.most} images cannot be searched at once. Give 1 to 5000.")


def search(out: str | Path, options: SearchOptions, *, overwrite: bool = False) -> Job[Path]:
    """Ask a catalogue for images, and write what it lists as one file of STAC items.

    No image is read. Addresses are written without signatures and tokens, which lend a right that is the user's.

    Parameters
    ----------
    out : path
        File to write; its name ends in ``.json``.
    options : SearchOptions
        What and where.
    overwrite : bool
        Whether a former file of items may be replaced.

    Returns
    -------
    Path
        The file, which `cscl.data.readers.open_cube` opens.

    Raises
    ------
    InputError, MissingError
        If the place or the catalogue is not said, the catalogue does not answer, or nothing is found.
    OutputError
        If the file cannot be written.
    """
    out = Path(out)
    _require_file(out, overwrite)
    bounds = _bounds(options.region)
    known = CATALOGUES.get(options.catalog)
    url, collection = (
        known.url if known else options.catalog,
        options.collection or (known.collection if known else None),
    )
    if not url.startswith(("http://", "https://")) or collection is None:
        raise InputError(
            f"The catalogue '{url}' is neither an address with a --collection nor one of {', '.join(CATALOGUES)}."
        )
    yield Progress("asking the catalogue", 0, 0, "image")
    found: dict[str, Json] = {}
    for page, total in _pages(url, collection, bounds, options):
        before = len(found)
        found |= {str(item.get("id")): item for item in page}
        yield Progress("asking the catalogue", min(len(found), options.most), min(total, options.most), "image")
        if len(found) >= options.most or len(found) == before:
            break
    items = [item for item in list(found.values())[: options.most] if _is_clear(item, options.cloud)]
    if not items:
        raise InputError(_nothing(url, collection, options))
    if len(found) >= options.most:
        yield Note(f"Only {options.most} images were asked for; there may be more. See --most.", warning=True)
    signed = sum(_strip(item) for item in items)
    if signed:
        yield Note(
            f"The catalogue signs its addresses; {signed} were written without, as a signature lends your right to "
            "whoever reads the file, and ends soon. If the images cannot be read then, ask for keys to them."
        )
    _write(out, items, {"catalog": url, "collection": collection, "bbox": bounds, "datetime": _span(options)})
    yield Note(_summary(items))
    if known:
        yield Note(known.reading)
    return out


def _require_file(out: Path, overwrite: bool) -> None:
    if out.suffix.lower() not in (".json", ".geojson"):
        raise OutputError(f"{out} would not be known for a file of items. Give a name that ends in .json.")
    if out.exists() and not overwrite:
        raise OutputError(f"{out} exists already. Choose another name, or add --overwrite to replace it.")
    if out.exists() and not (out.is_file() and is_stac(out)):
        raise OutputError(f"{out} is no file of items, so even --overwrite does not replace it. Choose another name.")


def _bounds(region: str | None) -> list[float]:
    """Read west, south, east and north in degrees from a text, or from a file of polygons."""
    if region is None:
        raise InputError(
            "Say where to search: --bbox WEST,SOUTH,EAST,NORTH in degrees, or --region FILE with polygons."
        )
    try:
        numbers = [float(part) for part in region.split(",")]
    except ValueError:
        path = Path(region).expanduser()
        if not path.exists():
            raise MissingError(f"The region '{region}' is neither four numbers nor a file of polygons.") from None
        numbers = [float(n) for n in Parcels.open(path).table.to_crs("EPSG:4326").total_bounds]
    west, south, east, north = numbers if len(numbers) == 4 else [math.nan] * 4
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(
            f"The region {region} is not WEST,SOUTH,EAST,NORTH in degrees, such as 4.5,50.6,4.9,50.9. Across the date "
            "line, search each side by itself."
        )
    return numbers


def _pages(url: str, collection: str, bounds: list[float], options: SearchOptions) -> Iterator[tuple[list[Json], int]]:
    """Ask page by page.

    Yields
    ------
    items, total
        Items of a page; how many there are in all, 0 if the catalogue does not say.
    """
    try:
        pystac, client_of = import_module("pystac"), import_module("pystac_client")
    except ImportError as error:
        raise InputError(f'Searching needs {error.name}. Install it: pip install "napari-cscl[stac]".') from error
    its_own = client_of.exceptions.APIError, client_of.errors.ClientTypeError, client_of.warnings.DoesNotConformTo
    # What is no catalogue, or a broken one, ends in any of these.
    trouble = (*its_own, pystac.STACError, AttributeError, KeyError, TypeError, ValueError)
    try:
        pages = _asked(_client(url), collection, bounds, options).pages_as_dicts()
        for page in pages:
            features = [item for item in page.get("features", ()) if isinstance(item, dict)]
            total = page.get("numberMatched") or (page.get("context") or {}).get("matched") or 0
            yield features, int(total)
    except trouble as error:
        raise _no_answer(url, error) from error


def _client(url: str) -> Client:
    from pystac_client import Client
    from pystac_client.stac_api_io import StacApiIO

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what the catalogue promises to understand; what it does not, it refuses
        return Client.open(url, stac_io=StacApiIO(timeout=TIMEOUT_S, max_retries=RETRIES), timeout=TIMEOUT_S)


def _asked(client: Client, collection: str, bounds: list[float], options: SearchOptions) -> Any:
    methods = {str(link.extra_fields.get("method", "GET")).upper() for link in client.get_links("search")}
    wanted = {"eo:cloud_cover": {"lte": options.cloud}}
    query = wanted if options.cloud is not None and client.conforms_to("QUERY") else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return client.search(
            method="GET" if methods == {"GET"} else "POST",
            collections=[collection],
            bbox=bounds,
            datetime=_span(options),
            query=query,
            limit=min(PAGE, options.most),
        )


def _no_answer(url: str, error: Exception) -> InputError:
    status, told = getattr(error, "status_code", None), " ".join(str(error).split())[:200] or type(error).__name__
    if status in (401, 403):
        return InputError(f"The catalogue {url} asks for a key ({status}: {told}), which cscl has no way to give.")
    if status == 404:
        return InputError(f"There is no catalogue at {url}, or not that collection ({told}). Check both names.")
    if status is not None:
        return InputError(
            f"The catalogue {url} refused the search ({status}: {told}). Try again later, or ask for less."
        )
    return InputError(f"The catalogue {url} gave no usable answer ({told}). Check the address and the network.")


def _span(options: SearchOptions) -> str | None:
    if options.first_date is None and options.last_date is None:
        return None
    first, last = (
        ".." if text is None else str(date_in_name(text)).partition("T")[0]
        for text in (options.first_date, options.last_date)
    )
    return f"{first}/{last}"


def _is_clear(item: Json, most: float | None) -> bool:
    """Whether an image is as clear as wanted, also where a catalogue overlooks the wish; one that is unknown is."""
    share = (item.get("properties") or {}).get("eo:cloud_cover")
    return most is None or not isinstance(share, int | float) or share <= most


def _strip(item: Json) -> int:
    """Take signatures out of the addresses of an item; return how many there were."""
    count = 0
    assets = (item.get("assets") or {}).values()
    links = item.get("links") or ()
    alternates = [other for asset in assets for other in (asset.get("alternate") or {}).values()]
    for place in (*assets, *links, *(other for other in alternates if isinstance(other, dict))):
        href = str(place.get("href", ""))
        bare = unsigned(href)
        if bare != href:
            place["href"] = bare
            count += 1
    return count


def _write(out: Path, items: list[Json], asked: Json) -> None:
    told = {"type": "FeatureCollection", "stac_version": "1.0.0", "cscl:search": asked, "features": items}
    part = out.with_name(out.name + ".part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        part.replace(out)
    except OSError as error:
        raise OutputError(
            f"{out} cannot be written ({error.strerror}). Make room on the disk or choose another place."
        ) from error
    finally:
        part.unlink(missing_ok=True)


def _summary(items: list[Json]) -> str:
    said = [item.get("properties") or {} for item in items]
    days = sorted(str(each.get("datetime") or each.get("start_datetime"))[:10] for each in said)
    tiles = sorted({str(each.get("grid:code") or each.get("s2:mgrs_tile") or "")[-5:] for each in said} - {""})
    clouds = [float(each["eo:cloud_cover"]) for each in said if isinstance(each.get("eo:cloud_cover"), int | float)]
    where = f" of {len(tiles)} tiles ({', '.join(tiles[:6])})" if tiles else ""
    cloudy = f"; {np.median(clouds):.0f} % clouds in the middle one" if clouds else ""
    return f"{len(items)} images{where}, {days[0]} to {days[-1]}{cloudy}."


def _nothing(url: str, collection: str, options: SearchOptions) -> str:
    clouds = "" if options.cloud is None else f", with at most {options.cloud:g} % clouds"
    return (
        f"{url} lists no image of the collection {collection} in {options.region}, {_span(options) or 'of any time'}"
        f"{clouds}. Check the name of the collection, and west, south, east and north."
    )
