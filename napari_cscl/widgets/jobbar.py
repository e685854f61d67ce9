"""The foot of the dock: what happens now, how long it still takes, and the way to stop it."""

from __future__ import annotations

import time

from qtpy.QtWidgets import QProgressBar, QPushButton, QVBoxLayout, QWidget

from cscl.events import Event, Measure, Progress, remaining_s, time_in_words

from .parts import row, words

__all__ = ["JobBar"]

SHOWN = ("loss", "accuracy", "overall accuracy", "mean IoU")


class JobBar(QWidget):
    """Status line, progress with the remaining time, and the buttons Cancel and Stop and keep."""

    def __init__(self) -> None:
        super().__init__()
        self.status = words("Open images to begin, or File > Open Sample > CSCL.")
        self.progress = QProgressBar()
        self.progress.setAccessibleName("Progress of the running job")
        self.cancel = QPushButton("Cancel")
        self.cancel.setToolTip(
            "Stop the running job; nothing is changed. A training that was begun can be gone on with later"
        )
        self.keep = QPushButton("Stop and keep")
        self.keep.setToolTip("End the running job now, with the best that it has so far")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.status, self.progress, row(self.keep, self.cancel)):
            layout.addWidget(widget)
        self.idle()

    def begin(self, can_finish: bool) -> None:
        """Show that a job has begun."""
        self._stage, self._began, self._first = "", 0.0, 0
        self.progress.setRange(0, 0)
        self.progress.show()
        self.cancel.setEnabled(True)
        self.cancel.show()
        self.keep.setEnabled(True)
        self.keep.setVisible(can_finish)

    def idle(self) -> None:
        """Show that no job runs."""
        for widget in (self.progress, self.cancel, self.keep):
            widget.hide()

    def stopping(self) -> None:
        """Show at once that the wish to stop was heard."""
        self.cancel.setEnabled(False)
        self.keep.setEnabled(False)
        self.status.setText("Stopping ...")

    def report(self, event: Event) -> None:
        """Show an event of the running job."""
        if isinstance(event, Progress):
            self._progress(event)
        elif isinstance(event, Measure):
            values = ", ".join(f"{name} {event.values[name]:.3g}" for name in SHOWN if name in event.values)
            self.status.setText(f"{event.stage}, step {event.step}: {values}")

    def _progress(self, event: Progress) -> None:
        now = time.monotonic()
        if event.total and event.stage != self._stage:
            self._stage, self._began, self._first = event.stage, now, event.done
        if not event.total and self._stage:
            return  # a part of the stage on show, such as a look at the validation blocks
        self.progress.setRange(0, event.total)
        self.progress.setValue(event.done)
        left = remaining_s(now - self._began, event.done - self._first, event.total - event.done)
        self.progress.setFormat(
            f"{event.stage}  %v of %m" + (f", {time_in_words(left)} left" if left is not None else "")
        )
