"""Columns of the tables in the Boundary panel: which ones, in which order, what they are called and mean. No Qt."""

from __future__ import annotations

from dataclasses import dataclass

from cscl.report.kinds import WRONG

__all__ = ["EDGE_COLUMNS", "PAIR_COLUMNS", "PARCEL_COLUMNS", "Column"]


@dataclass(frozen=True)
class Column:
    """A column of a table: the name in the frame, the head, what it means, how a number is written, and `rather`.

    `rather` names the column that is shown in its place where the frame has that one.
    """

    name: str
    head: str
    meaning: str
    form: str = "{}"
    rather: str = ""


PLACE = "{:,.0f}"
MOVED = (
    Column(
        "displacement_m", "moved (m)", "Mean displacement, metres: above 0 a has grown into b, below 0 b into a; empty "
        "where the edge is too short to tell", "{:+.1f}",
    ),
    Column("moved_m", "either way (m)", "Mean displacement whatever its direction, metres", "{:.1f}"),
    Column("bleed_m", "deepest (m)", "How far the wrong crop reaches beyond the edge at most, metres", PLACE),
)  # fmt: skip
PARCEL_COLUMNS = (
    Column("id", "id", "Id of the parcel, or number of the region", rather="own_id"),
    Column("wrong_here", "wrong", "Wrong pixels among those that the filters leave", PLACE),
    Column("share_right", "right", "Share of its judged pixels whose class is right", "{:.0%}"),
    Column("declared_crop", "declared", "Crop in the labels"),
    Column("predicted_crop", "predicted", "Most frequent crop in the map"),
    Column("area_ha", "ha", "Area of its judged pixels, hectares", "{:.2f}"),
    Column("share_right_boundary", "at edge", "Share right within reach of a class edge", "{:.0%}"),
    Column("share_right_interior", "inside", "Share right out of reach of any class edge", "{:.0%}"),
    Column("confidence", "conf.", "Mean confidence of the prediction", "{:.2f}"),
    Column("wrong", "all wrong", "Judged pixels whose class is wrong, whatever the filters", PLACE),
    *(Column(kind.name.lower(), kind.title, kind.meaning, PLACE) for kind in WRONG),
    Column("purity", "purity", "Share of its judged pixels that have the most frequent crop in the map", "{:.0%}"),
    Column("second_crop", "second", "Next most frequent crop in the map"),
    Column("second_share", "of it", "Share of its judged pixels that have this second crop", "{:.0%}"),
    Column("share_boundary", "boundary", "Share of its judged pixels that touch another parcel", "{:.0%}"),
    Column("flags", "flags", "What is odd about it, such as too small to tell, or wrong at the edge only"),
)
EDGE_COLUMNS = (
    Column("wrong", "wrong", "Wrong pixels within reach of the edge, on both sides", PLACE),
    Column("share_wrong", "share", "Share of the judged pixels within reach that are wrong", "{:.0%}"),
    Column("crop_a", "crop a", "Crop of parcel a"),
    Column("crop_b", "crop b", "Crop of parcel b"),
    Column("share_into_a", "into a", "Share of the pixels where b has grown into a", "{:.0%}"),
    Column("share_into_b", "into b", "Share of the pixels where a has grown into b", "{:.0%}"),
    *MOVED,
    Column("edge_m", "length (m)", "Length of its judged part, metres, stairs of pixels smoothed", PLACE),
    Column("length_m", "m", "Length along the sides of pixels, metres; 0 across a gap or a corner", PLACE),
    Column("pixels", "pixels", "Judged pixels within reach, on both sides", PLACE),
    Column("a", "a", "Id of parcel a", rather="own_a"),
    Column("b", "b", "Id of parcel b", rather="own_b"),
)
PAIR_COLUMNS = (
    Column("wrong", "wrong", "Wrong pixels within reach of these edges, on both sides", PLACE),
    Column("share_wrong", "share", "Share of the judged pixels within reach that are wrong", "{:.0%}"),
    Column("crop_a", "crop a", "One crop"),
    Column("crop_b", "crop b", "The crop beside it"),
    Column("into_a", "into a", "Pixels of a mapped as b: there b has grown into a", PLACE),
    Column("into_b", "into b", "Pixels of b mapped as a: there a has grown into b", PLACE),
    Column("third", "third", "Wrong pixels mapped as neither of the two", PLACE),
    *MOVED,
    Column("edges", "edges", "Edges where the two crops meet", PLACE),
    Column("length_m", "m", "Length of these edges along the sides of pixels, metres", PLACE),
)
