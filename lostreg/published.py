"""CorLoc as the literature reports it: one object per picture, VOC trainval and COCO20k, in percent.

Only figures that were read in the source named are listed; a gap is a figure that was not.
"""

from __future__ import annotations

from dataclasses import dataclass

PUBLISHED_DATASETS = ("voc07", "voc12", "coco20k")

_LOST = "LOST README (arXiv 2109.14279)"
_TOKENCUT = "TokenCut README (arXiv 2202.11539)"
_REGISTERS = "Vision Transformers Need Registers, Tab. 3 (arXiv 2309.16588)"
_FOUND = "FOUND, Tab. 1 (arXiv 2212.07834)"
_DVT = "Denoising Vision Transformers, Tab. 4 (arXiv 2401.02957)"
_TTR = "Test-time registers, Tab. 5 (arXiv 2506.08010)"
_TTR_BIG = "Test-time registers, Tab. 11 (arXiv 2506.08010)"
_PEEKABOO = "PEEKABOO README"
_LAZYSTRIKE = "LaSt-ViT (arXiv 2602.22394)"
_DINOV3 = "DINOv3, Fig. 14 (arXiv 2508.10104)"
_FRANCA = "Franca, Tab. 3b (arXiv 2507.14137)"


@dataclass(frozen=True)
class PublishedRow:
    """One row of the literature.

    Attributes:
        method: what finds the object.
        backbone: on whose features.
        trained: whether anything beyond the frozen backbone was trained.
        voc07: CorLoc on VOC2007 trainval, in percent, if it was reported.
        voc12: on VOC2012 trainval.
        coco20k: on COCO20k.
        source: where the figures were read.
    """

    method: str
    backbone: str
    trained: bool
    voc07: float | None
    voc12: float | None
    coco20k: float | None
    source: str

    def corloc(self, dataset: str) -> float | None:
        """Return the figure for one of :data:`PUBLISHED_DATASETS`; ``None`` for others and for gaps."""
        return {"voc07": self.voc07, "voc12": self.voc12, "coco20k": self.coco20k}.get(dataset)


def published_rows(dataset: str) -> tuple[PublishedRow, ...]:
    """Return the rows that report a figure for the dataset, in the order of :data:`ROWS`."""
    return tuple(row for row in ROWS if row.corloc(dataset) is not None)


ROWS = (
    PublishedRow("LOST", "DINO ViT-S/16", False, 61.9, 64.0, 50.7, _LOST),
    PublishedRow("LOST", "DINO ViT-S/8", False, 55.5, 57.0, 49.5, _LOST),
    PublishedRow("LOST", "DINO ViT-B/16", False, 60.1, 63.3, 50.0, _LOST),
    PublishedRow("LOST", "DINO ResNet50", False, 36.8, 42.7, 26.5, _LOST),
    PublishedRow("LOST", "supervised ResNet50", False, 33.5, 39.1, 25.5, _LOST),
    PublishedRow("LOST + CAD", "DINO ViT-S/16 + detector", True, 65.7, 70.4, 57.5, _LOST),
    PublishedRow("LOST", "DeiT-III ViT-B, IN-22k", False, 11.7, None, None, _REGISTERS),
    PublishedRow("LOST", "DeiT-III ViT-B + registers, IN-22k", False, 27.1, None, None, _REGISTERS),
    PublishedRow("LOST", "OpenCLIP ViT-B/16", False, 38.8, None, None, _REGISTERS),
    PublishedRow("LOST", "OpenCLIP ViT-B/16 + registers", False, 37.1, None, None, _REGISTERS),
    PublishedRow("LOST", "DINOv2 ViT-L/14, IN-22k", False, 35.3, 40.2, 26.9, _REGISTERS),
    PublishedRow("LOST", "DINOv2 ViT-L/14 + registers, IN-22k", False, 55.4, 60.0, 42.0, _REGISTERS),
    PublishedRow("LOST", "DINOv2 ViT-B/14", False, 30.8, 35.9, 23.4, _DVT),
    PublishedRow("LOST", "DINOv2 ViT-B/14-reg", False, 38.0, 41.5, 26.9, _DVT),
    PublishedRow("LOST + DVT", "DINOv2 ViT-B/14-reg", True, 56.1, 59.3, 45.5, _DVT),
    PublishedRow("LOST + DVT", "DINOv2 ViT-B/14", True, 58.0, 60.3, 46.7, _DVT),
    PublishedRow("LOST, best of a sweep", "DINOv2 ViT-L/14", False, 32.2, 36.8, 25.4, _TTR),
    PublishedRow("LOST, best of a sweep", "DINOv2 ViT-L/14-reg", False, 56.2, 60.2, 42.3, _TTR),
    PublishedRow("LOST, best of a sweep", "DINOv2 ViT-L/14 + test-time register", False, 53.8, 57.9, 41.9, _TTR),
    PublishedRow("LOST, best of a sweep", "OpenCLIP ViT-B/16", False, 30.8, 35.9, 23.4, _TTR),
    PublishedRow("LOST, best of a sweep", "OpenCLIP ViT-B/16 + test-time register", False, 30.9, 35.9, 23.6, _TTR),
    PublishedRow("LOST", "InternViT-6B", False, 30.3, 35.4, 22.4, _TTR_BIG),
    PublishedRow("LOST", "InternViT-6B + test-time register", False, 41.6, 48.7, 32.7, _TTR_BIG),
    PublishedRow("DINO-seg", "DINO ViT-S/16", False, 45.8, 46.2, 42.1, _LAZYSTRIKE),
    PublishedRow("LOD", "VGG16", False, 53.6, 55.1, 48.5, _FOUND),
    PublishedRow("Deep Spectral Methods", "DINO ViT-S/16", False, 62.7, 66.4, 52.2, _FOUND),
    PublishedRow("TokenCut", "DINO ViT-S/16", False, 68.8, 72.1, 58.8, _TOKENCUT),
    PublishedRow("TokenCut", "DINO ViT-S/8", False, 67.3, 71.6, 60.7, _TOKENCUT),
    PublishedRow("TokenCut", "DINO ViT-B/16", False, 68.8, 72.4, 59.0, _TOKENCUT),
    PublishedRow("TokenCut", "DINOv2 ViT-B/14", False, 42.9, 48.3, None, _FRANCA),
    PublishedRow("TokenCut", "DINOv2 ViT-B/14-reg", False, 53.0, 56.9, None, _FRANCA),
    PublishedRow("TokenCut", "DINOv2 ViT-L/14", False, 41.3, 47.2, None, _FRANCA),
    PublishedRow("TokenCut", "DINOv2 ViT-L/14-reg", False, 57.6, 61.3, None, _FRANCA),
    PublishedRow("TokenCut, tau searched", "DINO ViT-S/16", False, 61.1, 66.0, 48.7, _DINOV3),
    PublishedRow("TokenCut, tau searched", "DINO ViT-B/16", False, 60.1, 64.4, 50.5, _DINOV3),
    PublishedRow("TokenCut, tau searched", "DINOv2 ViT-g/14", False, 55.6, 60.4, 45.4, _DINOV3),
    PublishedRow("TokenCut, tau searched", "DINOv3 ViT-7B/16", False, 66.1, 69.5, 55.1, _DINOV3),
    PublishedRow("FreeSOLO", "DenseCL ResNet101", True, 44.0, 49.7, 35.2, _FOUND),
    PublishedRow("TokenCut + CAD", "DINO ViT-S/16 + detector", True, 71.4, 75.3, 62.6, _FOUND),
    PublishedRow("SelfMask", "ensemble of 3", True, 72.3, 75.3, 62.7, _FOUND),
    PublishedRow("FOUND", "DINO ViT-S/8", True, 72.5, 76.1, 62.9, _FOUND),
    PublishedRow("PEEKABOO", "DINO ViT-S/8", True, 72.7, 75.9, 64.0, _PEEKABOO),
    PublishedRow("LazyStrike", "DINO ViT-S", True, 64.4, 67.6, 51.6, _LAZYSTRIKE),
)
