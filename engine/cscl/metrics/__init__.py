"""Figures of maps: confusion of classes, errors at and away from boundaries, parcels. Arrays only, no places."""
