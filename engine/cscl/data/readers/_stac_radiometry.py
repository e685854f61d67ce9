"""How stored numbers become reflectance, by the rules of those who deliver them: nothing is guessed in silence.

From processing baseline 04.00 on ESA shifts stored values by 1000, so that reflectance is ``stored * 1e-4 - 0.1``. Some
take the shift out again, some of these only for some images, and some advertise an offset that holds no more.
"""

from __future__ import annotations

from dataclasses import dataclass

from cscl.errors import InputError

__all__ = ["Provider", "Said", "Settled", "provider_of", "settled"]

SCALE, SHIFT = 1e-4, -0.1
_SAME = 1e-9


@dataclass(frozen=True)
class Provider:
    """Who delivers images, what its addresses hold, and in which state its values are.

    ``as_made``: as ESA made them, so that the baseline says whether they are shifted. ``shifted_back``: never shifted.
    Neither: what its items declare holds.
    """

    name: str
    marks: tuple[str, ...]
    as_made: bool = False
    shifted_back: bool = False


_DATA_SPACE = tuple(f"{name}.dataspace.copernicus.eu" for name in ("stac", "catalogue", "download"))
# Asked in this order: an item of Sentinel Hub may lead to files of ESA's archive.
PROVIDERS = (
    Provider("Copernicus Data Space", ("/eodata/", *_DATA_SPACE), as_made=True),
    Provider("Planetary Computer", ("planetarycomputer.microsoft.com", "sentinel2l2a01.blob.core"), as_made=True),
    Provider("Earth Search", ("earth-search.aws.element84.com", "sentinel-cogs", "e84-earth-search-sentinel-data")),
    Provider("Sentinel Hub", ("sentinel-hub.com", "sh.dataspace.copernicus.eu"), shifted_back=True),
)


@dataclass(frozen=True)
class Said:
    """What an item says of the values of a band.

    Parameters
    ----------
    what : str
        The image, for messages.
    provider : Provider or None
        None: one that is not known.
    collection : str
        Collection of the item.
    baseline : str or None
        Processing baseline, such as ``05.10``.
    shifted_back : bool or None
        Whether the shift was taken out, where the item says so itself.
    scale, offset : float or None
        As declared.
    """

    what: str
    provider: Provider | None
    collection: str
    baseline: str | None
    shifted_back: bool | None
    scale: float | None
    offset: float | None

    @property
    def shifts(self) -> bool | None:
        """Whether images of this baseline are shifted when ESA makes them; None where it is not known."""
        return None if self.baseline is None else self.baseline >= "04.00"


@dataclass(frozen=True)
class Settled:
    """Scale and offset of a band, and what there is to say: of which images an `overruled` declaration or a `doubt`."""

    scale: float
    offset: float
    overruled: bool = False
    doubt: bool = False


def provider_of(addresses: str) -> Provider | None:
    """Tell who delivers an item by its addresses: those of its files, of itself and of its catalogue."""
    return next((one for one in PROVIDERS if any(mark in addresses for mark in one.marks)), None)


def settled(said: Said) -> Settled:
    """Settle scale and offset of a band.

    Raises
    ------
    InputError
        If what is said leaves more than one answer.
    """
    scale = SCALE if said.scale is None else said.scale
    if said.shifted_back or "HARMONIZED" in said.collection.upper():
        return Settled(scale, 0.0)  # whatever offset is advertised besides
    as_made = said.shifted_back is False or (said.provider is not None and (said.provider.as_made or not said.shifts))
    if as_made and said.shifts is not None and abs(scale - SCALE) < _SAME:
        return _as_made(said)
    if said.provider is not None and said.provider.shifted_back:
        return Settled(scale, 0.0)
    if said.offset is not None and not (said.offset and said.shifts is False):
        return Settled(scale, said.offset)
    if said.offset is None and said.shifts is False:
        return Settled(scale, 0.0)
    raise _unclear(said)


def _as_made(said: Said) -> Settled:
    expected = SHIFT if said.shifts else 0.0
    differs = said.offset is not None and abs(said.offset - expected) > _SAME
    if differs and said.shifts:
        raise _unclear(said)
    # Before 04.00 nothing was shifted, so an offset that is advertised all the same undoes nothing.
    return Settled(SCALE, expected, overruled=differs, doubt=bool(said.shifts and said.shifted_back is False))


def _unclear(said: Said) -> InputError:
    who = "of a catalogue that is not known here" if said.provider is None else f"of {said.provider.name}"
    made = "an unknown processing baseline" if said.baseline is None else f"processing baseline {said.baseline}"
    told = "no offset is declared" if said.offset is None else f"an offset of {said.offset:g} is declared"
    return InputError(
        f"{said.what} ({who}) is of {made}, and {told}: it is not clear whether its values are shifted by 1000. Say it "
        "with --offset: -0.1 if they are, 0 if they are not or were shifted back."
    )
