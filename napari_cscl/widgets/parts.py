"""Small parts that panels are put together from: wrapping text, rows, forms, groups, and tables of facts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qtpy.QtWidgets import QFormLayout, QGroupBox, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

__all__ = ["form", "group", "row", "table", "words"]


def words() -> QLabel:
    """Make a text whose long lines wrap in a narrow dock."""
    label = QLabel()
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # long lines wrap
    return label


def row(widgets: Sequence[QWidget]) -> QWidget:
    """Put widgets side by side, each as wide as the others."""
    whole = QWidget()
    layout = QHBoxLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget in widgets:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout.addWidget(widget)
    return whole


def form(*rows: tuple[str, QWidget]) -> QWidget:
    """Put widgets below each other, with their words on the left."""
    whole = QWidget()
    layout = QFormLayout(whole)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    for word, widget in rows:
        layout.addRow(word, widget) if word else layout.addRow(widget)
    return whole


def group(title: str, *widgets: QWidget) -> QGroupBox:
    """Put widgets below each other under a title."""
    whole = QGroupBox(title)
    layout = QVBoxLayout(whole)
    for widget in widgets:
        layout.addWidget(widget)
    return whole


def table(name: str, facts: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    """Facts as a small table: the words on the left, what is known on the right."""
    rows = "".join(
        f"<tr><td style='padding-right: 8px'>{escape(word)}</td><td>{escape(told)}</td></tr>" for word, told in facts
    )
    remarks = "".join(f"<p><i>{escape(note)}</i></p>" for note in notes)
    return f"<b>{escape(name)}</b><table>{rows}</table>{remarks}"
