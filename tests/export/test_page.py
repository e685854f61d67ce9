"""The page: well-formed, complete in its folder, and safe whatever the text holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Drawing

from cscl.errors import InputError, OutputError
from cscl.export.page import Figure, Section, Table, write_page


class Reader(HTMLParser):
    """Collects tags, text and what the page refers to; notes tags that are closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag("link", attrs)  # one that is closed at once

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def drawing(dpi: int = 100) -> Drawing:
    figure = Drawing(dpi=dpi)
    figure.subplots().plot([0, 1])
    return figure


def test_an_inch_of_any_figure_is_96_pixels_of_the_page(tmp_path: Path) -> None:
    figures = [Figure(f"at_{dpi}", drawing(dpi)) for dpi in (75, 300)]
    for figure in figures:
        figure.drawing.axes[0].imshow([[0, 1]])
    page = write_page(tmp_path, "Sizes", [Section("All", figures=figures)]).read_text(encoding="utf-8")
    coarse, fine = (int(width) for width in re.findall(r'<img src="[^"]*" width="(\d+)"', page))
    inches = figures[0].drawing.get_tightbbox().width + 0.24
    assert abs(coarse - 96 * inches) < 5 and abs(fine - 96 * inches) < 5


def test_page(tmp_path: Path) -> None:
    table = Table(
        ["crop", "pixels", "F1"], [["Blé <tendre> & co", 12345, 0.98765], ["Maize", 3, float("nan")]], "By crop"
    )
    sections = [
        Section("Season", 'One <b>"bold"</b>.\n\nTwo & three.', [Figure("season", drawing(), "What it <saw>")]),
        Section("Accuracy", tables=[table], figures=[Figure("acc", drawing())]),
    ]
    page = write_page(tmp_path / "new" / "page", "Crops & <script>alert(1)</script>", sections)
    assert sorted(p.name for p in page.parent.iterdir()) == ["index.html"]
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    assert reader.open == []
    assert [link[:10] for link in reader.links if link[0] != "#"] == ["data:,"]
    assert "script" not in reader.seen and "b" not in reader.seen and reader.seen.count("p") == 2
    for text in (
        "<script>alert(1)</script>",
        'One <b>"bold"</b>.',
        "Blé <tendre> & co",
        "12,345",
        "0.988",
        "–",
        "<saw>",
    ):
        assert text in reader.text
    text = page.read_text(encoding="utf-8")
    assert "http" not in text and text.count("url(") == text.count("url(#")


def test_refusals(tmp_path: Path) -> None:
    page = write_page(tmp_path, "One", [])
    with pytest.raises(OutputError, match="exists already"):
        write_page(tmp_path, "Two", [])
    twice = [Section("a", figures=[Figure("x", drawing()), Figure("x", drawing())])]
    with pytest.raises(InputError, match="named x"):
        write_page(tmp_path, "Two", twice, overwrite=True)
    assert "One" in page.read_text()
    write_page(tmp_path, "Two", [], overwrite=True)
    assert "Two" in page.read_text()
    with pytest.raises(InputError, match="no name for a figure"):
        Figure("../evil", drawing())
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_page(tmp_path / "file", "Three", [])
