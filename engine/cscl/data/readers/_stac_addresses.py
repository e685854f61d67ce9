"""From what a STAC item says of where a file is to what GDAL opens, with few requests and none that waits for ever."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from cscl.errors import InputError

__all__ = ["address", "is_local", "unsigned"]

# No look at the folder beside a file and no half-dead connection: GDAL's defaults are a dozen requests, and no limit.
_CAREFULLY = "empty_dir=yes&max_retry=3&retry_delay=1&connecttimeout=30&low_speed_time=60&low_speed_limit=100"
_BUCKETS = {"s3": "/vsis3/", "gs": "/vsigs/", "az": "/vsiaz/"}
_GDAL = ("/vsizip/", "/vsitar/", "/vsicurl/", "/vsis3/", "/vsigs/", "/vsiaz/")
# Of the Planetary Computer; GDAL itself asks for the token that reading takes.
_LENT = re.compile(r"sentinel2l\w+\.blob\.core\.windows\.net")
_SECRETS = {
    "sig", "signature", "token", "access_token", "key", "apikey", "api_key", "awsaccesskeyid", "x-amz-signature",
    "x-amz-security-token", "x-amz-credential", "x-goog-signature", "x-goog-credential", "subscription-key",
}  # fmt: skip


def address(href: str, file: Path, own: str, collection: str) -> str:
    """Say a file's place as GDAL understands it.

    Parameters
    ----------
    href : str
        As the item says it: a path, relative or not, or an address.
    file : Path
        File that holds the item; relative paths start there.
    own : str
        Address of the item itself, where relative paths start if its images are not here; empty if they are.
    collection : str
        Collection of the item.

    Raises
    ------
    InputError
        If it is of a kind that is not read.
    """
    parts = urlsplit(href)
    if parts.scheme in ("http", "https"):
        lent = _LENT.fullmatch(parts.netloc) is not None
        sign = f"pc_url_signing=yes&pc_collection={quote(collection)}&" if lent else ""
        return f"/vsicurl?{sign}{_CAREFULLY}&url={quote(unsigned(href) if lent else href, safe=':/')}"
    if parts.scheme in _BUCKETS:
        return f"{_BUCKETS[parts.scheme]}{parts.netloc}{parts.path}"
    if href.startswith("/vsi"):
        if not href.startswith(_GDAL):
            raise InputError(f"{file} names an image at {href[:80]}, which is not read. Give a file or an address.")
        return href
    if parts.scheme == "file":
        return unquote(parts.path)
    if len(parts.scheme) > 1:  # one letter is a drive
        raise InputError(
            f"{file} names an image at {href[:80]}; addresses of the kind {parts.scheme}: are not read. Get the files, "
            "and put their paths into the items."
        )
    if urlsplit(own).scheme in ("http", "https"):
        return address(urljoin(own, href), file, "", collection)
    return str(file.parent / href)


def is_local(place: str) -> bool:
    """Whether it is a path on this machine, of a file by itself."""
    return not place.startswith("/vsi") and len(urlsplit(place).scheme) < 2


def unsigned(href: str) -> str:
    """Return an address without its signature: who holds one that is signed may read what it leads to."""
    parts = urlsplit(href)
    secret = any(name.lower() in _SECRETS for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    return parts._replace(query="").geturl() if secret else href
