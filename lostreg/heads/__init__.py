"""Small networks fitted without labels on the frozen tokens of a ViT: what ``lostreg fit`` makes."""

from lostreg.heads.file import make_head, read_head, write_head
from lostreg.heads.head import KINDS, Head, HeadInfo, Kind
from lostreg.heads.shipped import SHIPPED, shipped_head

__all__ = ["KINDS", "SHIPPED", "Head", "HeadInfo", "Kind", "make_head", "read_head", "shipped_head", "write_head"]
