"""A frozen dataclass becomes a form, and the form the dataclass again: one line of it is type, range and sentence.

Fields that say ``"basic": True`` come first; the rest is folded under "More settings", a box for each nested class. A
`Choice` is a list of names, with the options of the chosen one in a box.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, TypeVar

from magicgui.widgets import CheckBox, ComboBox, Container, LineEdit, SpinBox
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtWidgets import QGroupBox, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from cscl.recipe import Choice, build, parse_value, plain

__all__ = ["Form"]

T = TypeVar("T")
MOST = 2**31 - 1


@dataclass(frozen=True)
class _Leaf:
    """One setting: its place such as ``train.steps``, the class that it stands in, its bare type and annotation."""

    key: str
    parent: str
    kind: Any
    limits: Mapping[str, Any] = field(default_factory=dict)

    def widget(self, label: str, names: list[str]) -> Any:
        """Make the widget that suits the type."""
        look = {"label": label, "tooltip": self.limits.get("tooltip", "")}
        if self.kind is Choice:
            return ComboBox(choices=names, **look)
        if typing.get_origin(self.kind) is Literal:
            return ComboBox(choices=list(typing.get_args(self.kind)), **look)
        if self.kind is bool:
            return CheckBox(**{**look, "text": ""})
        if self.kind is int:
            low, high = self.limits.get("min", -MOST), self.limits.get("max", MOST)
            return SpinBox(min=low, max=high, step=self.limits.get("step", 1), value=low, **look)
        return LineEdit(**look)  # numbers with a point, too: a spin box would round them

    def read(self, value: Any) -> Any:
        """Turn what the widget holds into a plain value; an empty text is None."""
        if not isinstance(value, str) or self.kind is str or typing.get_origin(self.kind) is Literal:
            return value
        kinds = (self.kind, *typing.get_args(self.kind))
        many = next((kind for kind in kinds if typing.get_origin(kind) is tuple), None)
        if self.kind is Choice or not value.strip():
            return value or None
        if many is not None:
            parts = [part.strip() for part in value.split(",")]
            return parts if str in typing.get_args(many) else [parse_value(part) for part in parts]
        return value if str in kinds else parse_value(value.strip())

    def shown(self, value: Any) -> Any:
        """Turn a plain value into what the widget holds."""
        if self.kind in (bool, int) or typing.get_origin(self.kind) is Literal:
            return value
        if value is None:
            return ""
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


class Form(QWidget, Generic[T]):
    """A form for a frozen, annotated dataclass.

    Parameters
    ----------
    value : dataclass
        What the form shows first.
    options : mapping, optional
        For each `Choice` in it, by its place such as ``train.loss``, the names with the classes of their options.
    titles : mapping, optional
        What nested classes, choices and settings are called, by their place.
    more : str
        What is written where the rest is folded.

    Signals
    -------
    changed()
        The user changed something.
    """

    changed = Signal()

    def __init__(
        self, value: T, options: Mapping[str, Mapping[str, type]] | None = None,
        titles: Mapping[str, str] | None = None, more: str = "More settings",
    ) -> None:  # fmt: skip
        super().__init__()
        self._cls: Any = type(value)
        self._options, self._titles = options or {}, titles or {}
        self._leaves = list(_leaves(self._cls))
        self._widgets: dict[str, Any] = {}  # options of a choice under "place:name.option"
        self._boxes: list[tuple[str, str, QGroupBox]] = []  # place, name of a choice or "", box
        self._rows: list[Any] = []
        self._hidden: set[str] = set()
        self._quiet = False
        self._wheel = _StillWheel(self)
        self._build(more)
        self.set(value)

    # --- values ----------------------------------------------------------------------------------------------------

    def get(self) -> T:
        """Return what the form says; options that have their default are left out of a `Choice`.

        Raises
        ------
        InputError
            If a text is no number, or a number is out of its range.
        """
        values: dict[str, Any] = {}
        for leaf in self._leaves:
            key = f"{leaf.key}.name" if leaf.kind is Choice else leaf.key
            _put(values, key, leaf.read(self._widgets[leaf.key].value))
        for place in self._options:
            name = self._widgets[place].value
            default = plain(self._options[place][name]())
            for leaf in _leaves(self._options[place][name]):
                value = leaf.read(self._widgets[f"{place}:{name}.{leaf.key}"].value)
                if value != default.get(leaf.key):
                    _put(values, f"{place}.{leaf.key}", value)
        made: T = build(self._cls, values, "the form")
        return made

    def set(self, value: T) -> None:
        """Show a value; options of things that it does not choose get their defaults."""
        values = plain(value)
        self._quiet = True
        try:
            for leaf in self._leaves:
                found = _get(values, leaf.key)
                self._widgets[leaf.key].value = found["name"] if leaf.kind is Choice else leaf.shown(found)
            for place, name, cls in self._things():
                chosen = _get(values, place)
                mine = plain(cls()) | (chosen if chosen["name"] == name else {})
                for leaf in _leaves(cls):
                    self._widgets[f"{place}:{name}.{leaf.key}"].value = leaf.shown(mine.get(leaf.key))
        finally:
            self._quiet = False
        self._arrange()

    def widget(self, key: str) -> Any:
        """Widget of a setting (``train.batch``), a choice (``model``) or an option of it (``model:compact.knots``)."""
        return self._widgets[key]

    @property
    def stops(self) -> list[QWidget]:
        """What the tab key visits, from top to bottom."""
        basic = [leaf.key for leaf in self._leaves if leaf.limits.get("basic")]
        rest = [key for key in self._widgets if key not in basic]
        return [*(self._widgets[key].native for key in basic), self.more, *(self._widgets[key].native for key in rest)]

    def hide_parts(self, places: Iterable[str]) -> None:
        """Hide all that belongs to these nested classes, choices or settings, and show all else."""
        self._hidden = set(places)
        self._arrange()

    # --- making ----------------------------------------------------------------------------------------------------

    def _build(self, more: str) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        basic = [leaf for leaf in self._leaves if leaf.limits.get("basic")]
        layout.addWidget(self._make_rows("", basic, prefixed=True))
        self.more = QToolButton(text=more, checkable=True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setToolTip("Settings that rarely need a change")
        self._folded = QWidget()
        inner = QVBoxLayout(self._folded)
        inner.setContentsMargins(0, 0, 0, 0)
        for box in self._make_boxes([leaf for leaf in self._leaves if leaf not in basic]):
            inner.addWidget(box)
        layout.addWidget(self.more)
        layout.addWidget(self._folded)
        self.more.toggled.connect(self._fold)
        self._fold(False)

    def _make_boxes(self, leaves: list[_Leaf]) -> Iterator[QGroupBox]:
        """Make a box for each nested class, and after it those of its choices, one for each name."""
        for parent in dict.fromkeys([_parent(place) for place in self._options] + [leaf.parent for leaf in leaves]):
            yield self._box(parent, "", self._title(parent), [leaf for leaf in leaves if leaf.parent == parent])
            for place, name, cls in self._things():
                if _parent(place) == parent:
                    yield self._box(place, name, f"{self._title(place)}: {name}", list(_leaves(cls)))

    def _box(self, place: str, name: str, title: str, leaves: list[_Leaf]) -> QGroupBox:
        box = QGroupBox(title)
        box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        layout = QVBoxLayout(box)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._make_rows(f"{place}:{name}." if name else "", leaves))
        self._boxes.append((place, name if leaves else "-", box))
        return box

    def _make_rows(self, prefix: str, leaves: list[_Leaf], prefixed: bool = False) -> QWidget:
        """Make labelled rows; `prefixed` labels begin with the name of their class where several share a name."""
        rows = Container(labels=True)
        rows.margins = (0, 0, 0, 0)
        ends = [leaf.key.rpartition(".")[2] for leaf in leaves]
        for leaf, end in zip(leaves, ends, strict=True):
            label = self._title(leaf.key)
            if prefixed and ends.count(end) > 1:
                label = f"{self._title(leaf.parent)} {label[:1].lower()}{label[1:]}"
            widget = leaf.widget(label, list(self._options.get(leaf.key, {})))
            self._wheel.calm(widget.native)
            self._widgets[prefix + leaf.key] = widget
            rows.append(widget)
        rows.changed.connect(self._tell)
        self._rows.append(rows)
        native: QWidget = rows.native
        return native

    def _things(self) -> Iterator[tuple[str, str, type]]:
        for place, by_name in self._options.items():
            for name, cls in by_name.items():
                yield place, name, cls

    def _title(self, place: str) -> str:
        """Name of a setting or class for the eye."""
        last = place.rpartition(".")[2]
        words = last.removesuffix("_px").replace("_", " ") + (" (px)" if last.endswith("_px") else "")
        return self._titles.get(place, words[:1].upper() + words[1:] or "General")

    # --- what happens ----------------------------------------------------------------------------------------------

    def _tell(self, *_: Any) -> None:
        if not self._quiet:
            self._arrange()
            self.changed.emit()

    def _arrange(self) -> None:
        """Show what is neither hidden nor an option of something that is not chosen."""
        for key, widget in self._widgets.items():
            if ":" not in key:
                widget.visible = not self._is_hidden(key)
        for place, name, box in self._boxes:
            chosen = not name or (name != "-" and name == self._widgets[place].value)
            box.setVisible(chosen and not self._is_hidden(place))

    def _is_hidden(self, key: str) -> bool:
        return any(key == place or key.startswith(f"{place}.") for place in self._hidden)

    def _fold(self, shown: bool) -> None:
        self.more.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._folded.setVisible(shown)


class _StillWheel(QObject):
    """Keeps the mouse wheel, meant for scrolling the panel, from changing what lies under it."""

    def calm(self, widget: QWidget) -> None:
        """Let a widget take the wheel only when it has the focus."""
        widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Leave the wheel to the scroll area."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def _leaves(cls: Any, place: str = "") -> Iterator[_Leaf]:
    """Yield the settings of a class and of the classes in it; a `Choice` is one setting."""
    hints = typing.get_type_hints(cls, include_extras=True)
    for each in dataclasses.fields(cls):
        hint, limits = hints[each.name], {}
        if typing.get_origin(hint) is Annotated:
            hint, limits = hint.__origin__, hint.__metadata__[0]
        if dataclasses.is_dataclass(hint) and hint is not Choice:
            yield from _leaves(hint, f"{place}{each.name}.")
        else:
            yield _Leaf(f"{place}{each.name}", place.removesuffix("."), hint, limits)


def _parent(place: str) -> str:
    return place.rpartition(".")[0]


def _get(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if values is not None else None
    return values


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for part in path:
        values = values.setdefault(part, {})
    if value is not None:
        values[last] = value
