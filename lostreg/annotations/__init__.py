"""Strict readers of ground truth: a damaged record is an error that names it, never a changed figure."""

from lostreg.annotations.coco import CocoFile, read_coco
from lostreg.annotations.strict import read_json
from lostreg.annotations.truth import GroundTruth
from lostreg.annotations.voc import read_voc

__all__ = ["CocoFile", "GroundTruth", "read_coco", "read_json", "read_voc"]
