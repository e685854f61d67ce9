"""Areas on the ground: hectares of polygons and of their pixels, whatever the CRS of the map."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry import Point, box

from cscl.grid import GeoBox

__all__ = ["equal_area", "hectares", "pixel_hectares"]


def equal_area(grid: GeoBox) -> CRS:
    """Lambert's azimuthal equal-area projection around the middle of a map: areas are true, and outlines nearly so."""
    middle = gpd.GeoSeries([Point(box(*grid.boundingbox.bbox).centroid)], crs=str(grid.crs)).to_crs("EPSG:4326")
    lon, lat = float(middle.x.iloc[0]), float(middle.y.iloc[0])
    return CRS.from_proj4(f"+proj=laea +lat_0={lat:.6f} +lon_0={lon:.6f} +datum=WGS84 +units=m +type=crs")


def hectares(shapes: gpd.GeoSeries, flat: CRS) -> NDArray[np.float64]:
    """Area of polygons on the ground, hectares, in a CRS as `equal_area` gives; NaN for those that it cannot hold."""
    area: NDArray[np.float64] = np.asarray(shapes.to_crs(flat).area, float) / 1e4
    return np.where(np.isfinite(area), area, np.nan)


def pixel_hectares(ground_ha: NDArray[np.float64], here: gpd.GeoSeries, grid: GeoBox) -> NDArray[np.float64]:
    """Area of a pixel on the ground where each polygon lies, hectares.

    Parameters
    ----------
    ground_ha : ndarray
        As `hectares` gives it.
    here : GeoSeries
        The polygons in the CRS of the grid, whose unit and distortion go out.
    grid : GeoBox
        The pixels.
    """
    planar = shapely.area(np.asarray(here.array, object))
    return ground_ha * abs(grid.transform.determinant) / np.where(planar > 0, planar, np.nan)
