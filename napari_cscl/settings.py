"""What is kept between starts: preferences, which napari shows in its own dialog, and remembered choices. No Qt.

Preferences are declared in the manifest. What is remembered lies in a folder beside napari's settings, as does work
that was not finished. Where napari keeps nothing (an empty ``NAPARI_CONFIG``), nothing is kept here either.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["Preferences", "home", "preferences", "recall", "remember", "scratch_folder", "write_whole"]

NAME = "napari-cscl"
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Preferences:
    """What the user set in napari's preferences; the manifest says what each means, and its range."""

    device: str = "auto"
    threads: int = 0
    tile_px: int = 128
    scratch: str = ""


def preferences() -> Preferences:
    """Return the preferences as they are now."""
    kept = _kept()
    if kept is None:
        return Preferences()
    return Preferences(**{name: getattr(kept.computing, name) for name in Preferences.__dataclass_fields__})


def home() -> Path | None:
    """Folder for what is kept; None where napari keeps nothing. It need not exist yet."""
    kept = _kept()
    return kept.config_path.parent / NAME if kept is not None and kept.config_path else None


def recall(key: str, default: T) -> T:
    """Return what was remembered under a key; the default if nothing was, or something of another type."""
    value = _remembered().get(key, default)
    return value if isinstance(value, type(default)) else default


def remember(**values: Any) -> None:
    """Keep values (plain JSON) for the next start, also for viewers that are open beside this one."""
    folder = home()
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "remembered.json", json.dumps({**_remembered(), **values}, indent=1).encode())
    except OSError as error:
        log.warning("Choices cannot be remembered in %s: %s", folder, error)


def scratch_folder() -> Path:
    """Make a new folder for what is made in passing, where the preferences say, or else in the system's place."""
    wanted = preferences().scratch
    if wanted:
        with suppress(OSError):
            return Path(tempfile.mkdtemp(prefix="cscl-", dir=wanted))
        log.warning("The scratch folder %s cannot be used; the system's is taken.", wanted)
    return Path(tempfile.mkdtemp(prefix="cscl-"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and replaces a former one only then.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _kept() -> Any:
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(NAME)
    except KeyError:  # napari has not found the plugin, e.g. as it was switched off
        return None


def _remembered() -> dict[str, Any]:
    folder = home()
    if folder is None:
        return {}
    with suppress(OSError, ValueError):
        found = json.loads((folder / "remembered.json").read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}
