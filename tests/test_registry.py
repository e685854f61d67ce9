"""A registry finds what lies in its folder and what other distributions offer, each name once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cscl import registry
from cscl.errors import UnknownNameError
from cscl.registry import Registry, nearest

MODULE = "from toy_things import things\nthings.register('{name}')({value})\n"


@pytest.fixture
def things(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry[int]]:
    folder = tmp_path / "toy_things"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from cscl.registry import Registry\nthings = Registry('thing', 'toy_things')\n"
    )
    for name, value in (("wheat", 1), ("barley", 2)):
        (folder / f"{name}_file.py").write_text(MODULE.format(name=name, value=value))
    monkeypatch.syspath_prepend(str(tmp_path))
    import toy_things  # type: ignore[import-not-found]

    yield toy_things.things
    for name in [n for n in sys.modules if n.startswith("toy_things")]:
        del sys.modules[name]


def test_the_folder_is_scanned_on_first_use(things: Registry[int]) -> None:
    assert "toy_things.wheat_file" not in sys.modules
    assert things.names() == ["barley", "wheat"]
    assert things.get("wheat") == 1


def test_other_distributions_add_theirs(things: Registry[int], monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> Any:
            return things.register("maize")(3)

    monkeypatch.setattr(registry, "entry_points", lambda group: [Point()] if group == "toy_things" else [])
    assert things.get("maize") == 3


def test_an_unknown_name_offers_the_nearest(things: Registry[int]) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown thing 'weat'\. Did you mean 'wheat'\? Known: barley, wheat\."):
        things.get("weat")
    assert str(nearest("x", [], "band", "a.tif")) == "Unknown band 'x' in a.tif. Known: none."


def test_a_name_is_given_once(things: Registry[int]) -> None:
    things.register("oats")(4)
    with pytest.raises(ValueError, match="The thing 'oats' is registered twice"):
        things.register("oats")(5)
