"""Small parts that panels are put together from: wrapping text, rows, forms, groups, and tables of facts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QGroupBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

__all__ = ["described", "form", "group", "headed", "row", "small", "table", "words"]

SMALL_LINE_PX = 14


def words(text: str = "", *, selectable: bool = False) -> QLabel:
    """Make a text whose long lines wrap in a narrow dock; a selectable one can be copied."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # else a long word widens the dock
    if selectable:
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def small(text: str = "", lines: int = 2) -> QLabel:
    """Make a small text that always takes the height of so many lines: what lies below does not jump."""
    label = words(text)
    label.setStyleSheet("font-size: 11px; padding: 0px;")
    label.setFixedHeight(lines * SMALL_LINE_PX)
    return label


def headed(text: str, widget: QWidget) -> QWidget:
    """Put a small line of text above a widget, which takes the room that is left."""
    whole = QWidget()
    layout = QVBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(2)
    layout.addWidget(small(text, 1))
    layout.addWidget(widget, 1)
    return whole


def row(*widgets: QWidget, wide: Sequence[QWidget] = ()) -> QWidget:
    """Put widgets side by side: each as wide as the others, or else the `wide` ones take the room that is left."""
    whole = QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        if not wide or widget in wide:
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout.addWidget(widget, int(widget in wide))
    return whole


def form(*rows: tuple[str, QWidget]) -> QWidget:
    """Put widgets below each other, with their words on the left; none is wider than the dock."""
    whole = QWidget()
    layout = QFormLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for word, widget in rows:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout.addRow(word, widget) if word else layout.addRow(widget)
    return whole


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """Put widgets below each other under a title."""
    whole = QGroupBox(title)
    layout = QVBoxLayout(whole)
    for widget in widgets:
        layout.addWidget(widget)
    return whole


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Make a small table, as HTML: the words on the left, what is known on the right."""
    lines = (f"<tr><td style='padding-right: 8px'>{escape(a)}</td><td>{escape(b)}</td></tr>" for a, b in rows)
    return f"<table>{''.join(lines)}</table>"


def described(name: str, facts: Sequence[tuple[str, str]], notes: Sequence[str] = ()) -> str:
    """Describe a thing, as HTML: its name, a table of facts, and remarks."""
    remarks = "".join(f"<p><i>{escape(note)}</i></p>" for note in notes)
    return f"<b>{escape(name)}</b>{table(facts)}{remarks}"
