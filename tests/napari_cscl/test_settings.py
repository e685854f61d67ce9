"""Preferences and remembered choices are kept between starts, and take effect."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from npe2 import PluginManifest

from cscl.events import Event, Progress
from napari_cscl import settings
from napari_cscl.settings import Preferences, home, preferences, recall, remember, scratch_folder


@pytest.fixture
def kept(plugin_settings: None, npe2pm: Any, tmp_path: Path) -> Path:
    """The plugin's settings in a folder of the test; what a restart would read."""
    npe2pm.register(PluginManifest.from_distribution("napari-cscl"))
    return tmp_path


def restart() -> None:
    from napari import settings as napari_settings

    napari_settings._clear_plugin_settings_cache()


def test_preferences_survive_a_restart(kept: Path) -> None:
    from napari.settings import get_plugin_settings

    assert preferences() == Preferences(), "the manifest and the class agree on the defaults"
    get_plugin_settings("napari-cscl").computing.device = "cpu"
    restart()
    assert preferences().device == "cpu"
    with pytest.raises(ValueError, match="allowed enum"):
        get_plugin_settings("napari-cscl").computing.device = "abacus"


def test_choices_are_remembered(kept: Path) -> None:
    assert recall("folder", "") == ""
    remember(folder="/data/out", parts=["crop map"])
    remember(effort=30)
    restart()
    assert home() == kept / "napari-cscl" and (recall("folder", ""), recall("effort", 5)) == ("/data/out", 30)
    assert recall("parts", ()) == (), "another type than expected"
    (kept / "napari-cscl" / "remembered.json").write_text("{half")
    assert recall("folder", "none") == "none"
    assert [p.name for p in (kept / "napari-cscl").iterdir()] == ["remembered.json"]


def test_nothing_is_kept_where_napari_keeps_nothing() -> None:
    remember(folder="/data/out")
    assert home() is None and recall("folder", "") == ""


def test_the_scratch_folder_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "preferences", lambda: Preferences(scratch=str(tmp_path)))
    assert scratch_folder().parent == tmp_path
    monkeypatch.setattr(settings, "preferences", lambda: Preferences(scratch=str(tmp_path / "missing")))
    assert scratch_folder().is_dir(), "the system's place"


def counting_threads() -> Generator[Event, None, int]:
    yield Progress("counting", 0, 1)
    return torch.get_num_threads()


def test_jobs_run_on_as_many_threads_and_where_the_user_says(
    dock: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Preferences(device="cpu", threads=3)
    monkeypatch.setattr("napari_cscl.widgets.dock.preferences", lambda: chosen)
    found: list[int] = []
    with qtbot.waitSignal(dock.runner.finished, timeout=60_000):
        dock.run(counting_threads(), "Counting", found.append)
    assert found == [3] and dock.device == "cpu"
