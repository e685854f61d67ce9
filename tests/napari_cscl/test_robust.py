"""What may happen while a job runs, and what must be left when all is closed."""

import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import toys
from qtpy.QtWidgets import QApplication
from window import LONG_MS, names, press

from cscl.events import Event, Progress
from napari_cscl.bridge import season_layer


def working(log: list[str]) -> Generator[Event, None, str]:
    """Work until closed, as a training does: a step takes some time, and the end is tidy."""
    try:
        for step in range(10_000):
            time.sleep(0.01)
            yield Progress("working", step, 10_000)
    finally:
        log.append("tidied")
    return "done"


def failing(error: BaseException) -> Generator[Event, None, None]:
    yield Progress("failing", 0, 2)
    raise error


@pytest.fixture
def at_work(toy: Any, qtbot: Any) -> tuple[Any, list[str]]:
    """The panel with a job that runs, and what the job and its end leave behind."""
    log: list[str] = []
    with qtbot.waitSignal(toy.runner.reported, timeout=LONG_MS):
        toy.run(working(log), "Working", lambda result: log.append("taken"))
    return toy, log


def test_removing_the_images_stops_their_job_and_closes_the_scene(at_work: Any, qtbot: Any) -> None:
    dock, log = at_work
    with qtbot.waitSignal(dock.runner.cancelled, timeout=LONG_MS):
        dock.viewer.layers.remove("toy images")
    assert log == ["tidied"]
    assert dock.session.cube is None and dock.session.labels is None and not dock.map.predict.isEnabled()


def test_other_images_stop_the_job_of_the_former_shown_otherwise_they_do_not(at_work: Any, qtbot: Any) -> None:
    dock, log = at_work
    dock.add(season_layer(dock.session.cube, "NDVI"))
    qtbot.wait(100)
    assert dock.runner.busy and dock.session.labels is not None and log == []
    other = toys.scene(seed=5).cube
    with qtbot.waitSignal(dock.runner.cancelled, timeout=LONG_MS):
        dock.add(season_layer(other, "NDVI"))
    assert log == ["tidied"] and dock.session.cube is other


def test_a_failing_job_is_one_clear_message(toy: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = names(toy)
    for error in (MemoryError("out of memory"), OSError(28, "No space left on device"), RuntimeError("CUDA error")):
        told: list[str] = []
        monkeypatch.setattr("napari_cscl.widgets.dock.show_error", told.append)
        with qtbot.waitSignal(toy.runner.finished, timeout=LONG_MS):
            toy.run(failing(error), "Failing", lambda result: None)
        assert len(told) == 1 and str(error) in told[0] and "Traceback" not in told[0]
        assert names(toy) == before
        assert toy.map.predict.isEnabled() and not toy.jobbar.progress.isVisible()


def test_a_removed_prediction_is_closed(toy: Any, qtbot: Any) -> None:
    press(toy, qtbot, toy.map.predict)
    assert toy.session.prediction is not None
    toy.viewer.layers.remove("predicted crops (prediction)")
    qtbot.waitUntil(lambda: toy.session.prediction is None, timeout=LONG_MS)
    assert not toy.map.files.export.isEnabled() and toy.session.labels is not None


def test_closing_the_viewer_leaves_no_thread_no_folder_and_no_callback(
    make_napari_viewer: Any, qtbot: Any, toy_model: Path
) -> None:
    from napari_cscl.widgets.dock import CSCLDock

    threads, windows = set(threading.enumerate()), set(QApplication.topLevelWidgets())
    viewer = make_napari_viewer(show=True)
    clicks, moves = len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)
    dock = CSCLDock(viewer)
    viewer.window.add_dock_widget(dock, name="CSCL")
    dock.add(season_layer(toys.scene().cube, "NDVI"))
    log: list[str] = []
    with qtbot.waitSignal(dock.runner.reported, timeout=LONG_MS):
        dock.run(working(log), "Working", lambda result: log.append("taken"))
    viewer.close()
    QApplication.processEvents()
    assert log == ["tidied"] and not dock.runner.busy and not dock.folder.exists()
    assert len(viewer.mouse_drag_callbacks) == clicks and len(viewer.mouse_move_callbacks) == moves
    assert not [t for t in set(threading.enumerate()) - threads if t.is_alive() and not t.daemon]
    assert not [w for w in set(QApplication.topLevelWidgets()) - windows if w.isVisible()]
