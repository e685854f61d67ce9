"""Shortcuts: each does what the help says, in its own viewer, and takes no key of napari's."""

import time
from collections.abc import Generator
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from window import LONG_MS

from cscl.events import Event, Finish, Progress
from napari_cscl.bridge import role_of


def working() -> Generator[Event, None, str]:
    try:
        for step in range(10_000):
            time.sleep(0.01)
            yield Progress("working", step, 10_000)
    except Finish:
        return "kept"
    return "done"


def strike(dock: Any, key: Any, alt: bool = True) -> None:
    """Press a real key in the window."""
    held = Qt.KeyboardModifier.AltModifier if alt else Qt.KeyboardModifier.NoModifier
    QTest.keyClick(dock.viewer.window._qt_window, key, held)


def test_every_panel_has_its_key_and_the_help_lists_them(toy: Any) -> None:
    for number, panel in enumerate(toy.panels[:-1]):
        strike(toy, Qt.Key(Qt.Key.Key_1.value + number))
        assert toy.pages.current is panel
    strike(toy, Qt.Key.Key_F1, alt=False)
    assert toy.pages.current is toy.help and toy.help.isVisible()
    assert "Alt+1 ... 8" in toy.help.text.text()
    for shortcut in toy.keys.shortcuts[8:]:
        assert shortcut.key.replace("-", "+") in toy.help.text.text() and shortcut.words in toy.help.text.text()
    strike(toy, Qt.Key.Key_F1, alt=False)
    assert toy.pages.current is toy.panels[-2], "back to where one was"


def test_keys_press_buttons_or_say_why_not(toy: Any, qtbot: Any) -> None:
    strike(toy, Qt.Key.Key_E)
    assert toy.pages.current is toy.boundary and "Open a prediction first" in toy.jobbar.status.text()
    strike(toy, Qt.Key.Key_M)
    qtbot.waitUntil(lambda: toy.session.prediction is not None, timeout=LONG_MS)
    qtbot.waitUntil(lambda: not toy.runner.busy, timeout=LONG_MS)
    shown = next(layer for layer in toy.viewer.layers if role_of(layer) == "prediction")
    strike(toy, Qt.Key.Key_B)
    assert not shown.visible
    strike(toy, Qt.Key.Key_B)
    assert shown.visible
    before = toy.data.composite.currentText()
    strike(toy, Qt.Key.Key_Right)
    assert toy.data.composite.currentText() != before
    strike(toy, Qt.Key.Key_Left)
    assert toy.data.composite.currentText() == before


def test_a_job_is_stopped_and_what_can_be_kept_is_kept(toy: Any, qtbot: Any) -> None:
    toy.viewer.layers.selection.active = toy.viewer.layers[0]  # Escape ends the polygon of a Labels layer
    for key, keeps in ((Qt.Key.Key_Escape, False), (Qt.Key.Key_Q, True)):
        got: list[str] = []
        with qtbot.waitSignal(toy.runner.reported, timeout=LONG_MS):
            toy.run(working(), "Working", got.append, can_finish=keeps)
        with qtbot.waitSignal(toy.runner.finished, timeout=LONG_MS):
            strike(toy, key, alt=keeps)
        assert got == (["kept"] if keeps else [])


def test_no_key_of_naparis_is_taken(dock: Any) -> None:
    from app_model.types import KeyBinding
    from napari._app_model import get_app_model
    from napari.layers import Labels, Shapes
    from napari.utils.shortcuts import default_shortcuts

    ours = {KeyBinding.from_str(shortcut.key.replace("-", "+")) for shortcut in dock.keys.shortcuts}
    viewers = {key for name, keys in default_shortcuts.items() for key in keys if "polygon" not in name}
    viewers -= set(default_shortcuts["napari:finish_drawing_shape"])  # a layer's own keys go before the viewer's
    menus = {rule.keybinding for rule in get_app_model().keybindings}
    assert not ours & (viewers | menus)
    assert KeyBinding.from_str("Escape") in {*Shapes.class_keymap, *Labels.class_keymap}


def test_keys_are_given_back_and_each_viewer_has_its_own(toy: Any, make_napari_viewer: Any) -> None:
    from napari_cscl.widgets.dock import CSCLDock

    viewer = make_napari_viewer(show=True)
    free = set(viewer.keymap)
    other = CSCLDock(viewer)
    viewer.window.add_dock_widget(other, name="CSCL")
    strike(other, Qt.Key.Key_6)
    assert other.pages.current is other.map and toy.pages.current is toy.data
    other.shut()
    assert set(viewer.keymap) == free and len(toy.viewer.keymap) > len(free)


def test_every_command_that_the_palette_offers_works(make_napari_viewer: Any, qtbot: Any) -> None:
    from napari._app_model import get_app_model

    viewer = make_napari_viewer(show=True)
    app = get_app_model()
    listed = [item.command for item in app.menus.get_menu(app.menus.COMMAND_PALETTE_ID)]
    ours = [command for command in listed if command.id.startswith("napari-cscl")]
    offered = [command.id for command in ours if command.enablement is None or command.enablement.eval({})]
    assert len(ours) == 4 and len(offered) == 2, "what needs a file is not offered"
    for name in offered:
        app.commands.execute_command(name).result()
        qtbot.wait(50)
    docked = list(viewer.window.dock_widgets.values())
    assert len(docked) == 1 and viewer.layers[0].name == "season"
    docked[0].shut()
