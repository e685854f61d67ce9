"""A simulated Sentinel-2 season with its parcels: fields, crops, weather and sensor, all from a seed."""

from .options import SeasonOptions
from .season import Season, simulate
from .write import write_season

__all__ = ["Season", "SeasonOptions", "simulate", "write_season"]
