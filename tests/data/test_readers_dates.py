"""Dates hide in names in a handful of ways, among digits that are none."""

from __future__ import annotations

import numpy as np
import pytest

from cscl.data.readers._dates import date_in_name, date_in_tags, given_dates, without_dates
from cscl.errors import InputError


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("20210503", "2021-05-03"),
        ("S2_L2A_31UFS_20201101", "2020-11-01"),
        ("S2_L1C_20150711T100008", "2015-07-11T10:00:08"),
        ("S2A_MSIL2A_20200615T105031_N0214_R051_T31UFS_20200615T135432", "2020-06-15T10:50:31"),
        ("LC08_L2SP_198030_20200615_20200620_02_T1", "2020-06-15"),
        ("field.2021-05-03.clip", "2021-05-03"),
        ("2021-05-03T10:40:21Z", "2021-05-03T10:40:21"),
        ("2021_05_03", "2021-05-03"),
        ("MCD43A4.A2020366.h18v04", "2020-12-31"),
        ("12345678_20210503", "2021-05-03"),
        ("20210231_20210301", "2021-03-01"),
    ],
)
def test_found(name: str, date: str) -> None:
    assert date_in_name(name) == np.datetime64(date, "ns")


@pytest.mark.parametrize(
    "name", ["31UFS", "T31UFS_32631", "labels_2154", "20211350", "20210229", "2021366", "202105031", "1234567", "image"]
)
def test_not_a_date(name: str) -> None:
    assert date_in_name(name) is None


def test_tags_of_the_acquisition_go_before_the_time_of_writing() -> None:
    tags = {"TIFFTAG_DATETIME": "2024:01:02 03:04:05", "ACQUISITION": "2015-08-30T10:05:47", "OTHER": "20010101"}
    assert date_in_tags(tags) == np.datetime64("2015-08-30T10:05:47", "ns")
    assert date_in_tags({"TIFFTAG_DATETIME": "2024:01:02 03:04:05"}) == np.datetime64("2024-01-02T03:04:05", "ns")
    assert date_in_tags({"OTHER": "20010101"}) is None


def test_given_dates_are_checked() -> None:
    assert given_dates(["2021-05-03"], 1, "x").dtype == np.dtype("datetime64[ns]")
    with pytest.raises(InputError, match="'spring' is not a date"):
        given_dates(["spring"], 1, "x")
    with pytest.raises(InputError, match="1 dates are given for 2 images"):
        given_dates(["2021-05-03"], 2, "x")


@pytest.mark.parametrize(
    ("text", "date", "rest"),
    [
        ("B4_mst_03May2021", "2021-05-03", "B4_mst"),
        ("2021-05-03_B04", "2021-05-03", "B04"),
        ("B04.20210503T105031", "2021-05-03T10:50:31", "B04"),
    ],
)
def test_dates_beside_bands(text: str, date: str, rest: str) -> None:
    assert date_in_name(text) == np.datetime64(date, "ns")
    assert without_dates(text) == rest
    assert date_in_name("31Feb2021") is None
