from __future__ import annotations

import pytest

from lostreg.published import PUBLISHED_DATASETS, ROWS, published_rows


# Figures read in the papers and READMEs themselves.
@pytest.mark.parametrize(
    ("dataset", "method", "backbone", "percent"),
    [
        ("voc07", "LOST", "DINO ViT-S/16", 61.9),  # LOST README
        ("voc12", "LOST", "DINO ViT-S/16", 64.0),
        ("coco20k", "LOST", "DINO ViT-S/16", 50.7),
        ("voc07", "LOST", "DINOv2 ViT-L/14, IN-22k", 35.3),  # registers paper, "from 35.3 to 55.4"
        ("voc07", "LOST", "DINOv2 ViT-L/14 + registers, IN-22k", 55.4),
        ("voc07", "TokenCut", "DINO ViT-S/16", 68.8),  # TokenCut README
    ],
)
def test_known_rows(dataset, method, backbone, percent):
    found = [row for row in published_rows(dataset) if (row.method, row.backbone) == (method, backbone)]
    assert [row.corloc(dataset) for row in found] == [percent]


def test_rows_are_plausible_and_sourced():
    for row in ROWS:
        figures = [row.corloc(dataset) for dataset in PUBLISHED_DATASETS]
        assert row.source
        assert any(figure is not None for figure in figures)
        assert all(0 < figure < 100 for figure in figures if figure is not None)
    assert len({(row.method, row.backbone, row.source) for row in ROWS}) == len(ROWS)


def test_gaps_and_other_datasets_have_no_row():
    assert published_rows("coco") == ()
    assert all(row.voc12 is not None for row in published_rows("voc12"))
    assert len(published_rows("voc12")) < len(published_rows("voc07"))
