"""Walk through the plugin as a user does, and take a picture of the whole window at each act.

    python tests/walkthrough.py PICTURES               the simulated sample season, with the model shipped with it
    python tests/walkthrough.py PICTURES --images FOLDER --labels FILE --column NAME     other data, trained on them

Under a virtual screen: ``xvfb-run -a -s "-screen 0 1600x1000x24" python tests/walkthrough.py PICTURES``. It checks
nothing: the pictures are there to be looked at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

SETTLE_S = 0.7


class Walk:
    """A viewer with the panel, and what a user does with it.

    Parameters
    ----------
    pictures : Path
        Folder of the pictures.
    scratch : Path
        Folder of what is made on the way.
    theme : str
        Of napari.
    size : tuple of int
        Width and height of the window.
    """

    def __init__(self, pictures: Path, scratch: Path, theme: str, size: tuple[int, int]) -> None:
        import napari

        self.pictures, self.scratch, self.number = pictures, scratch, 0
        self.viewer = napari.Viewer(show=True)
        self.viewer.theme = theme
        self.viewer.window.resize(*size)
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-cscl", "CSCL")
        self.dock: Any = dock

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Let the window catch up, and wait for the running job."""
        from qtpy.QtWidgets import QApplication

        until = time.monotonic() + seconds
        while time.monotonic() < until or self.dock.runner.busy:
            QApplication.processEvents()
            time.sleep(0.01)

    def press(self, button: Any) -> None:
        """Press a button, which must be enabled, and wait for what it does."""
        if not button.isEnabled():
            raise SystemExit(f"'{button.text()}' cannot be pressed: {button.toolTip()}")
        button.click()
        self.settle()

    def click(self, row: int, col: int, *, shift: bool = False) -> None:
        """Click a pixel of the scene with the real mouse."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas
        place = (canvas.view.transform * canvas.view.scene.transform).map(self.world(row, col))
        at = QPoint(round(place[0] / place[3]), round(place[1] / place[3]))
        keys = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        QTest.mouseMove(canvas.native, at)
        QTest.mousePress(canvas.native, Qt.MouseButton.LeftButton, keys, at)
        QTest.mouseRelease(canvas.native, Qt.MouseButton.LeftButton, keys, at)
        self.settle()

    def world(self, row: int, col: int) -> tuple[float, float]:
        """Place of a pixel in the scene, as vispy has it: right, down."""
        height, width = (abs(step) for step in (self.dock.session.cube.grid.transform.e,) * 2)
        return (col + 0.5) * width, (row + 0.5) * height

    def picture(self, name: str) -> None:
        """Take a picture of the window."""
        self.settle()
        self.number += 1
        path = self.pictures / f"{self.number}-{name}.png"
        self.viewer.window.screenshot(path=str(path), canvas_only=False, flash=False)
        print(path)

    def turn_to(self, panel: Any) -> None:
        """Bring a panel to the top."""
        self.dock.pages.turn_to(panel)
        self.settle()


def walk(walk: Walk, args: argparse.Namespace) -> None:
    """Go through all panels."""
    from cscl.recipe import Recipe

    dock, viewer = walk.dock, walk.viewer
    if args.images:
        dock.data.open_images(args.images)
        walk.settle()
        dock.data.open_labels(args.labels, args.column)
    else:
        viewer.open_sample("napari-cscl", "simulated_season")
    walk.settle()
    rows, cols = dock.session.cube.shape
    viewer.dims.set_point(0, clear_date(dock.session.cube))
    walk.picture("open")

    walk.turn_to(dock.profiles)
    walk.click(rows // 3, cols // 3)
    dock.profiles.compare.setChecked(True)
    walk.click(rows // 2, cols // 2)
    walk.click(2 * rows // 3, cols // 4)
    walk.picture("profiles")
    dock.profiles.clear.click()

    if args.images:
        walk.turn_to(dock.train)
        recipe = Recipe().with_settings(["train.steps=150", "pretrain.steps=100"])
        dock.train.train_into(walk.scratch / "model", recipe, (True, True))
        walk.settle()
        walk.picture("train")
        walk.turn_to(dock.model)
    else:
        walk.turn_to(dock.model)
        walk.press(dock.model.sample)
    walk.picture("model")

    walk.turn_to(dock.affinity)
    walk.press(dock.affinity.look)
    walk.click(rows // 2, cols // 2)
    walk.picture("affinity")

    walk.turn_to(dock.map)
    walk.press(dock.map.predict)
    walk.picture("map")

    explore_errors(walk)
    worst = dock.boundary.parcels.frame.iloc[0]
    viewer.reset_view()

    walk.turn_to(dock.finetune)
    draw_region(walk, (worst["row0"] + worst["row1"]) / 2, (worst["col0"] + worst["col1"]) / 2)
    walk.press(dock.finetune.start)
    walk.picture("finetune")
    compare_maps(walk, dock.finetune.steps[-1].found.before)
    walk.turn_to(dock.finetune)
    walk.press(dock.finetune.undo)

    walk.turn_to(dock.map)
    dock.map.files.export_to(walk.scratch / "export")
    walk.settle()
    walk.picture("export")
    if args.finer:
        finer_maps(walk)


def finer_maps(walk: Walk) -> None:
    """Learn maps four times finer than the images, for a moment only, and look at one of them and at its errors."""
    from cscl.recipe import Recipe

    dock, viewer = walk.dock, walk.viewer
    viewer.reset_view()
    walk.turn_to(dock.train)
    recipe = Recipe().with_settings(["data.finer=4", "train.steps=60", "train.batch=4", "data.label_share=0.5"])
    dock.train.train_into(walk.scratch / "fine", recipe, (False, True))
    walk.settle()
    dock.train.form.more.setChecked(True)
    walk.picture("finer-train")
    walk.turn_to(dock.map)
    walk.press(dock.map.predict)
    viewer.scene.camera.zoom *= 4
    walk.picture("finer-map")
    walk.turn_to(dock.boundary)
    dock.boundary.judged.setCurrentIndex(1)
    walk.press(dock.boundary.find)
    walk.picture("finer-errors")
    dock.boundary.walk.step(1)
    walk.picture("finer-worst-parcel")
    viewer.scene.camera.zoom /= 2
    walk.turn_to(dock.affinity)
    walk.press(dock.affinity.look)
    walk.click(*(n // 2 for n in dock.session.cube.shape))
    walk.picture("finer-affinity")
    walk.turn_to(dock.finetune)
    walk.picture("finer-finetune")


def explore_errors(walk: Walk) -> None:
    """Find the errors of the map, and walk from the whole to one case and the note on it."""
    panel = walk.dock.boundary
    walk.turn_to(panel)
    walk.picture("boundary")
    panel.judged.setCurrentIndex(1)
    walk.press(panel.find)
    walk.picture("errors")
    panel.plot.brushed.emit((0, 0))
    walk.picture("errors-near-edges")
    if panel.overview.edge.count() > 1:
        panel.overview.edge.setCurrentIndex(1)
        walk.picture("errors-vector-edge")
    walk.press(panel.reset)
    panel.views.setCurrentWidget(panel.crops)
    walk.picture("crops")
    first, second, *_ = (crop.id for crop in panel.confusion.cells.crossing.classes)
    panel.confusion.chosen.emit((first, second))
    walk.picture("crops-one-cell")
    walk.press(panel.reset)
    panel.walk.step(1)
    walk.picture("worst-parcel")
    panel.casebox.editor.text.setPlainText("Half of it was mown in May.")
    panel.casebox.editor.verdict.setCurrentIndex(1)
    panel.casebox.editor.keep()
    walk.picture("worst-parcel-noted")
    panel.walk.turn_to(panel.edges)
    panel.walk.step(1)
    walk.picture("worst-edge")
    panel.views.setCurrentWidget(panel.overview)
    walk.press(panel.overview.moved)
    walk.picture("edges-moved")
    walk.viewer.layers.remove("edges moved (m)")


def compare_maps(walk: Walk, rival: Any) -> None:
    """Compare the open map with another one."""
    panel = walk.dock.boundary
    walk.turn_to(panel)
    walk.press(panel.find)
    panel.versus.start_comparing(rival)
    panel.views.setCurrentWidget(panel.versus)
    walk.picture("won-and-lost")


def clear_date(cube: Any) -> int:
    """Choose the date in the middle third of the season on which most can be seen."""
    share = cube.valid_share()
    first, last = len(share) // 3, max(2 * len(share) // 3, len(share) // 3 + 1)
    return first + int(share[first:last].argmax())


def draw_region(walk: Walk, row: float, col: float) -> None:
    """Draw a square around a place of the scene."""
    rows, cols = walk.dock.session.cube.shape
    half = min(rows, cols) / 6
    row, col = min(max(row, half), rows - half), min(max(col, half), cols - half)
    walk.press(walk.dock.finetune.region.rectangle)
    layer = walk.viewer.layers.selection.active
    corners = [(row - half, col - half), (row - half, col + half), (row + half, col + half), (row + half, col - half)]
    layer.add_rectangles([[walk.world(*corner)[::-1] for corner in corners]])
    layer.mode = "pan_zoom"
    walk.dock.finetune.seconds.setValue(30)
    walk.settle()


def main() -> None:
    """Read the command line and walk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--images", help="images other than the sample season")
    parser.add_argument("--labels", help="their parcels or labels")
    parser.add_argument("--column", help="column of the parcels that holds the crop")
    parser.add_argument("--finer", action="store_true", help="end with maps four times finer than the images")
    parser.add_argument("--theme", default="dark", choices=("dark", "light"))
    parser.add_argument("--size", default="1366x768", help="width and height of the window (default: 1366x768)")
    args = parser.parse_args()
    args.pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")
        width, height = map(int, args.size.split("x"))
        walker = Walk(args.pictures, Path(folder), args.theme, (width, height))
        walk(walker, args)
        walker.viewer.close()


if __name__ == "__main__":
    main()
