"""How soon the window answers: real clicks and strokes on a screen, virtual or real; what elapses is measured."""

from __future__ import annotations

from suite import Case, Form, later

CASES = [
    Case(
        "window-clicks", "From a click on the canvas to the affinity that answers it, 64 features.",
        {
            "one model": Form(later("windows.clicks", "measure", False, 64)),
            "two models": Form(later("windows.clicks", "measure", True, 64)),
        },
        "side, pixels", (512, 1024, 2048), screen=True, always=1,
    ),
    Case(
        "window-boundary", "From an act in the Boundary panel to the screen that shows it, 14 classes.",
        {"acts": Form(later("windows.boundary"))}, "side, pixels", (1024, 2048), (), screen=True, always=1,
    ),
    Case(
        "window-opening", "60 dates of 4 bands, 4000 x 4000 pixels, opened and slid through, drawn at once or later.",
        {
            f"{form}, {'later' if async_ else 'at once'}": Form(later("windows.opening", "measure", form, async_))
            for form in ("overviews", "plain", "zarr") for async_ in (False, True)
        },
        screen=True, always=1,
    ),
    Case(
        "window-training", "How late a timer of 10 ms fires while dates are run through, and a model trains or not.",
        {"season": Form(later("windows.lateness"))}, screen=True, always=1,
    ),
    Case(
        "window-large", "A large scene of 6 dates goes through all panels.",
        {"acts": Form(later("windows.large"))}, "side, pixels", (2000, 4000), (), screen=True, always=1,
    ),
]  # fmt: skip
