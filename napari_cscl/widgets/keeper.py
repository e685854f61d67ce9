"""Keeps unfinished work: saves it as it goes on, offers it after a crash, and brings back what was removed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from cscl.errors import CSCLError
from napari_cscl.autosave import Slot, Work, discard, find_left, read_work
from napari_cscl.bridge import KEY, place_layer, prediction_layer, role_of
from napari_cscl.recovery import Restored, notes_of, painted_on, restore, work_of
from napari_cscl.region import is_region
from napari_cscl.settings import home

from .offer import Offer

if TYPE_CHECKING:
    from .dock import CSCLDock

__all__ = ["Keeper"]

WAIT_MS = 1000
log = logging.getLogger(__name__)


class Keeper(QObject):
    """Watches the session and the layers of a dock.

    Parameters
    ----------
    dock : CSCLDock
        Whose work is kept. Where napari keeps no settings, nothing is kept.
    """

    def __init__(self, dock: CSCLDock) -> None:
        super().__init__()
        self.dock = dock
        root = home()
        self.slot = Slot(root / "unfinished") if root is not None else None
        self.offer, self.removed = Offer(), Offer()
        self._plain: dict[int, NDArray[Any]] = {}
        self._copied: set[Path] = set()
        self._restoring = self._failed = self._dirty = False
        self._gone: list[Any] = []
        self._soon = QTimer(singleShot=True, interval=WAIT_MS)
        self._soon.timeout.connect(self.save)
        self._later = QTimer(singleShot=True, interval=0)
        self._later.timeout.connect(self._offer_removed)

    def begin(self) -> None:
        """Start to watch, and offer what was left unfinished."""
        session, events = self.dock.session, self.dock.viewer.layers.events
        for signal in (session.cube_changed, session.labels_changed, session.model_changed, session.prediction_changed):
            signal.connect(self._changed)
        session.notes.changed.connect(self._changed)
        session.cube_changed.connect(lambda _: self.removed.end())
        events.inserted.connect(self._inserted)
        events.removed.connect(self._removed)
        for layer in self.dock.viewer.layers:
            self._watch(layer)
        self.look()

    def shut(self) -> None:
        """Save what is still unsaved, and leave the folder: work stays to be found, anything else goes."""
        events = self.dock.viewer.layers.events
        events.inserted.disconnect(self._inserted)
        events.removed.disconnect(self._removed)
        for layer in self.dock.viewer.layers:
            self._watch(layer, False)
        with suppress(RuntimeError):  # Qt has deleted them where the window went as a whole
            self._soon.stop()
            self._later.stop()
        if self.slot is not None:
            if self._dirty and len(self.dock.viewer.layers):
                self.save()
            self.slot.leave()

    # --- saving ----------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the work down now."""
        self._dirty = False
        if self.slot is None or self._restoring:
            return
        session, layers = self.dock.session, list(self.dock.viewer.layers)
        if session.cube is None and not self.slot.folder.exists():
            return
        try:
            self._save_model()
            self.slot.save(work_of(session, layers, self.dock.folder), painted_on(layers, self._plain))
            self._failed = False
        except OSError as error:
            log.warning("The work cannot be saved in %s: %s", self.slot.folder, error)
            if not self._failed:
                self.dock.say(f"The work cannot be saved as it goes on ({error}). Make room on the disk.")
            self._failed = True

    def _save_model(self) -> None:
        """Copy the model in use if it lies in a passing place; the copies of others are not needed any more."""
        slot, model = self.slot, self.dock.session.model
        if slot is None:
            return
        folder = model.folder if model is not None else None
        if folder is not None and folder.is_relative_to(self.dock.folder) and folder not in self._copied:
            slot.save_model(folder)
            self._copied = {folder}
        for copy in slot.models():
            passing = folder is not None and (folder in self._copied or folder == copy)
            if not passing or (folder is not None and copy.name != folder.name):
                slot.drop_model(copy.name)

    def _changed(self, *_: Any) -> None:
        if self.slot is not None and not self._restoring and not self._dirty:
            self._dirty = True
            self._soon.start()

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._changed()

    def _watch(self, layer: Any, on: bool = True) -> None:
        """Hear of each stroke and shape on layers that the user works on."""
        if role_of(layer) not in ("region", "crops"):
            return
        for name in ("data", "paint", "labels_update"):
            if name in layer.events:
                emitter = getattr(layer.events, name)
                emitter.connect(self._changed) if on else emitter.disconnect(self._changed)

    # --- what was left ---------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Offer the latest work that was left, if any."""
        self.offer.end()
        for folder, work, about in self._left():
            if self._is_here(work):
                self.slot.take(folder)  # type: ignore[union-attr]
                self.dock.session.notes.take(notes_of(work))
                continue
            time = work.when.replace("T", " ")[:16]
            self.offer.ask(
                f"Unfinished work on {work.name} of {time} was found: {about}.",
                [
                    ("Restore", "Open the images again, with the region, corrected crops, model and notes",
                     lambda f=folder: self.restore(f)),
                    ("Discard", "Remove it from the disk; asks once more", lambda f=folder: self._confirm(f)),
                ],
            )  # fmt: skip
            return

    def restore(self, left: Path) -> None:
        """Take over a folder of unfinished work, and open what it holds."""
        if self.slot is None or self.dock.runner.busy:
            self.dock.say("Another job is running. Wait for it or cancel it.")
            self.look()
        elif not self.slot.take(left):
            self.dock.say("Another window has taken this work.")
            self.look()
        else:
            self._restoring = True
            self.dock.runner.finished.connect(self._restored_or_not)
            self.dock.run(restore(self.slot, self.dock.folder), "Restoring", self._restored)

    def _restored_or_not(self) -> None:
        """Give the folder back to be found again if it could not be opened."""
        self.dock.runner.finished.disconnect(self._restored_or_not)
        if self._restoring and self.slot is not None:
            self._restoring = False
            self.slot.leave()
            self.slot = Slot(self.slot.root)
        self._changed()

    def _restored(self, found: Restored) -> None:
        dock = self.dock
        if found.model is not None:
            dock.session.open_model(found.model)
        dock.data.take_images(found.images)
        if found.labels is not None and found.labels.labels.path is not None:
            dock.data.take_labels(found.labels.labels.path, found.labels)
        if found.prediction is not None:
            dock.session.open_prediction(found.prediction)
            dock.add(prediction_layer(found.prediction, dock.session.origin))
        for layer in found.layers:
            dock.add(layer)
        dock.session.notes.take(found.notes)
        self._restoring = False
        lacking = f" Not to be had again: {'; '.join(found.lacking)}." if found.lacking else ""
        dock.inform(f"The unfinished work on {found.images.cube.name} is open again.{lacking}")

    def _confirm(self, folder: Path) -> None:
        self.offer.ask(
            "It cannot be had back once it is discarded.",
            [
                ("Discard for good", "Remove it from the disk", lambda: self._discard(folder)),
                ("Back", "Keep it", self.look),
            ],
        )

    def _discard(self, folder: Path) -> None:
        discard(folder)
        self.look()

    def _left(self) -> Iterator[tuple[Path, Work, str]]:
        for folder in find_left(self.slot.root) if self.slot is not None else []:
            with suppress(CSCLError):
                work, painted = read_work(folder)
                models = [path.parent.name for path in folder.glob("models/*/card.json")]
                held = [
                    *(["a region"] if work.shapes else []),
                    *(["corrected crops"] if painted is not None else []),
                    *([f"the model {', '.join(models)}"] if models else []),
                    *([f"{len(work.notes)} note{'' if len(work.notes) == 1 else 's'} on cases"] if work.notes else []),
                ]
                yield folder, work, ", ".join(held) or "what was open"

    def _is_here(self, work: Work) -> bool:
        """Whether it is what lies in this viewer: the panel was closed and opened again."""
        here = work_of(self.dock.session, self.dock.viewer.layers, self.dock.folder)
        return bool(here.images) and here.images == work.images and here.shapes == work.shapes

    # --- what was removed ------------------------------------------------------------------------------------------

    def _removed(self, event: Any) -> None:
        """Look a moment later: a layer that is shown anew is removed and inserted."""
        layer = event.value
        self._watch(layer, False)
        self._changed()
        if is_region(layer) or "corrects" in layer.metadata.get(KEY, {}):
            self._gone.append(layer)
            self._later.start()

    def _offer_removed(self) -> None:
        gone, self._gone = self._gone, []
        names = {layer.name for layer in self.dock.viewer.layers}
        for layer in gone:
            if layer.name not in names and self._is_worth(layer):
                self.removed.ask(
                    f"The layer '{layer.name}' was removed.",
                    [
                        ("Bring it back", "Put it into the list again, as it was", lambda la=layer: self._bring(la)),
                        ("Leave it", "It stays removed", lambda: None),
                    ],
                )

    def _is_worth(self, layer: Any) -> bool:
        cube, held = self.dock.session.cube, layer.metadata[KEY]
        if cube is None or held.get("grid") != cube.grid:
            return False
        if is_region(layer):
            return len(layer.data) > 0
        return held["corrects"] is self.dock.session.labels and painted_on([layer], self._plain) is not None

    def _bring(self, layer: Any) -> None:
        self.dock.viewer.add_layer(layer)
        place_layer(self.dock.viewer, layer)
