"""Searching a catalogue: what is asked, what is written, and what goes wrong, against an API on this machine."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
from fake_stac import DAYS, FakeAPI, item, write_images
from shapely.geometry import box

from cscl.cli import main
from cscl.data import catalogues
from cscl.data.catalogues import CATALOGUES, SearchOptions, search
from cscl.data.readers import open_cube
from cscl.errors import InputError, MissingError, OutputError
from cscl.events import Event, Note, Progress, run

pytest.importorskip("pystac_client")

WHERE = "4,51,5,52"
Serve = Callable[..., FakeAPI]


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, Any]]:
    """Five items on three days, one of them cloudy, with files on this machine."""
    made = []
    for i, day in enumerate([*DAYS, *DAYS[:2]]):
        hrefs = {band: str(path) for band, path in write_images(tmp_path / str(i), day).items()}
        told = item("planetary-computer", day, hrefs, "03.00", **{"eo:cloud_cover": 20 * i, "s2:mgrs_tile": "31UFS"})
        made.append(told | {"id": f"{told['id']}_{i}"})
    return made


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start fake catalogues, which end with the test."""
    servers: list[FakeAPI] = []

    def start(*args: Any, **options: Any) -> FakeAPI:
        servers.append(FakeAPI(*args, **options))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asking(api: FakeAPI | str, **options: Any) -> SearchOptions:
    url = api if isinstance(api, str) else api.url
    return SearchOptions(**{"catalog": url, "collection": "sentinel-2-l2a", "region": WHERE, **options})


def test_what_is_found_opens_as_images(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    api, out, events = serve(items), tmp_path / "season.json", list[Event]()
    run(search(out, asking(api, first_date="2021-06-01", last_date="2022-06-30", cloud=60)), events.append)
    assert api.asked[0] | {"limit": 0} == {
        "bbox": [4.0, 51.0, 5.0, 52.0], "collections": ["sentinel-2-l2a"], "limit": 0,
        "datetime": "2021-06-01T00:00:00Z/2022-06-30T23:59:59Z", "query": {"eo:cloud_cover": {"lte": 60}},
    }  # fmt: skip
    assert [e.done for e in events if isinstance(e, Progress)] == [0, 2, 4]
    assert any("4 images of 1 tiles (31UFS), 2021-06-01 to 2022-06-06" in e.text for e in events if isinstance(e, Note))
    assert len(open_cube(out).dates) == 3  # the fourth is of the day of the first
    assert not out.with_name("season.json.part").exists()


def test_clouds_are_left_out_where_the_catalogue_does_not(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    api = serve(items, knows_clouds=False)
    run(search(tmp_path / "a.json", asking(api, cloud=40)))
    assert "query" not in api.asked[0]
    assert len(json.loads((tmp_path / "a.json").read_text())["features"]) == 3


def test_no_token_is_written(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    for told in items:
        for asset in told["assets"].values():
            asset["href"] = f"https://images.example.org/{asset['href']}?se=2026&sig=SECRET"
        told["links"].append({"rel": "preview", "href": "https://example.org/?token=SECRET"})
    events: list[Event] = []
    run(search(tmp_path / "a.json", asking(serve(items))), events.append)
    assert "SECRET" not in (tmp_path / "a.json").read_text()
    assert any("were written without" in e.text for e in events if isinstance(e, Note))


def test_the_number_of_images_has_a_limit(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    api, events = serve(items), list[Event]()
    run(search(tmp_path / "a.json", asking(api, most=3)), events.append)
    assert len(json.loads((tmp_path / "a.json").read_text())["features"]) == 3
    assert len(api.asked) == 2
    assert any(e.warning and "--most" in e.text for e in events if isinstance(e, Note))


def test_a_catalogue_that_answers_in_circles_ends(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    api = serve(items)
    page = api.page
    api.page = lambda asked: page({**asked, "token": 0})  # type: ignore[method-assign]
    run(search(tmp_path / "a.json", asking(api)))
    assert len(api.asked) == 2


def test_closing_the_search_leaves_nothing(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    job = search(tmp_path / "a.json", asking(serve(items)))
    next(job)
    next(job)
    job.close()
    assert not list(tmp_path.glob("a.json*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"region": None}, "Say where"),
        ({"region": "4,51,5"}, "WEST,SOUTH,EAST,NORTH"),
        ({"region": "5,51,4,52"}, "WEST,SOUTH,EAST,NORTH"),
        ({"region": "600000,5600000,610000,5610000"}, "in degrees"),
        ({"region": "nowhere.gpkg"}, "neither four numbers nor a file"),
        ({"catalog": "earth-serch"}, "neither an address .* earth-search, planetary-computer, cdse"),
        ({"collection": None}, "neither an address with a --collection"),
        ({"collection": "sentinel-3"}, "lists no image of the collection sentinel-3 in 4,51,5,52, of any time"),
    ],
)
def test_wrong_wishes(tmp_path: Path, items: list[Any], serve: Serve, change: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, MissingError), match=message):
        run(search(tmp_path / "a.json", asking(serve(items), **change)))
    assert not list(tmp_path.glob("a.json*"))


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "asks for a key"), (404, "no catalogue"), (429, "refused the search"), (500, "refused")],
)
def test_a_catalogue_that_refuses(tmp_path: Path, items: list[Any], serve: Serve, status: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(search(tmp_path / "a.json", asking(serve(items, fails=status))))


def test_a_catalogue_that_is_not_there_or_silent(tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(catalogues, "TIMEOUT_S", 0.1)
        monkeypatch.setattr(catalogues, "RETRIES", 0)
        with pytest.raises(InputError, match=r"no usable answer .*timed out"):
            run(search(tmp_path / "a.json", asking(url)))
    with pytest.raises(InputError, match="no usable answer"):
        run(search(tmp_path / "a.json", asking(url)))
    api = serve([])
    api.root = lambda: {"type": "FeatureCollection", "features": []}  # type: ignore[method-assign]
    with pytest.raises(InputError, match="no usable answer"):
        run(search(tmp_path / "a.json", asking(api)))


def test_only_former_lists_are_replaced(tmp_path: Path, items: list[Any], serve: Serve) -> None:
    api, out = serve(items), tmp_path / "a.json"
    with pytest.raises(OutputError, match=r"ends in \.json"):
        run(search(tmp_path / "a.txt", asking(api)))
    out.write_text('{"mine": 1}')
    with pytest.raises(OutputError, match="exists already"):
        run(search(out, asking(api)))
    with pytest.raises(OutputError, match="no file of items"):
        run(search(out, asking(api), overwrite=True))
    out.unlink()
    run(search(out, asking(api)))
    run(search(out, asking(api, most=1), overwrite=True))
    assert len(json.loads(out.read_text())["features"]) == 1


def test_the_command(tmp_path: Path, items: list[Any], serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    api, polygons = serve(items), tmp_path / "region.gpkg"
    gpd.GeoDataFrame(geometry=[box(4.25, 51.25, 4.5, 51.5)], crs="EPSG:4326").to_file(polygons)
    words = ["search", str(tmp_path / "a.json"), "--catalog", api.url, "--collection", "sentinel-2-l2a", "--quiet"]
    assert main([*words, "--region", str(polygons), "--from", "2021-03-01", "--to", "2021-09-30", "--cloud", "60"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "a.json")
    assert api.asked[0]["bbox"] == pytest.approx([4.25, 51.25, 4.5, 51.5])
    assert api.asked[0]["datetime"].startswith("2021-03-01")
    assert main([*words, "--bbox=-5,40,-4,41"]) == 2
    assert "exists already" in capsys.readouterr().err


def test_known_catalogues_say_how_their_images_are_read() -> None:
    assert all(
        c.url.startswith("https://") and c.reading.startswith("The images are read from") for c in CATALOGUES.values()
    )


def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pystac_client", None)
    with pytest.raises(InputError, match=r'pip install "napari-cscl\[stac\]"'):
        run(search(tmp_path / "a.json", asking("http://127.0.0.1:9")))
