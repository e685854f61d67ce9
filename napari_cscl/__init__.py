"""The napari plugin of the ``cscl`` engine. Importing this package costs milliseconds: no torch, no Qt, no napari."""

from cscl import __version__

__all__ = ["__version__"]
