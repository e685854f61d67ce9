"""Results that leave the engine: maps for a GIS, parcel tables, figures and a page that shows them."""
