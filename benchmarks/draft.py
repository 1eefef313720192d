"""What decoding large JPEGs at a fraction saves, and what it changes.

Photographs are scaled up eight times and stored as JPEG. Each is decoded in full, and as lostreg does
(:func:`lostreg.images.jpeg_fraction`); then both are resized alike.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from common import photographs, write
from PIL import Image
from torch.nn.functional import cosine_similarity
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.bench.clock import Timing, alternate
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.images import read_photograph
from lostreg.metrics.corloc import iou
from lostreg.settings import DEFAULT_MAX_SIDE

ENLARGED = 8


def enlarged(path: Path) -> bytes:
    """Return a photograph, scaled up, as JPEG of quality 90."""
    image = Image.open(path).convert("RGB")
    large, stream = (
        image.resize((image.width * ENLARGED, image.height * ENLARGED), Image.Resampling.BICUBIC),
        io.BytesIO(),
    )
    large.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def main() -> None:
    """Measure and write ``results/draft.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev100")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--max-side", type=int, default=DEFAULT_MAX_SIDE)
    args = parser.parse_args()
    discoverer = Discoverer(OFFLINE_MODEL, device="cpu", max_side=args.max_side)
    sides = {"full": None, "fraction": args.max_side}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    cosines, overlaps, megapixels, fractions = [], [], [], []
    for path in tqdm(photographs(args.root, args.split)[: args.limit]):
        content = enlarged(path)
        tasks = {
            name: partial(lambda c, s: discoverer.prepare(read_photograph(c, needed_side=s)), content, side)
            for name, side in sides.items()
        }
        for name, timing in alternate(tasks, 1, time.process_time).items():
            seconds[name] += timing.seconds
        whole, part = (read_photograph(content, needed_side=side) for side in sides.values())
        features = [discoverer.extract(each, discoverer.needs(discoverer.settings)) for each in (whole, part)]
        cosines.append(float(cosine_similarity(features[0].tokens["v"], features[1].tokens["v"]).mean()))
        first, second = (discoverer.discover(each).boxes_xyxy[:1] for each in features)
        overlaps.append(float(iou(first, second)[0]))
        megapixels.append(whole.rgb[..., 0].size / 1e6)
        fractions.append(whole.rgb.shape[0] / part.rgb.shape[0])
    write(
        "draft",
        {
            "split": args.split,
            "images": len(cosines),
            "max_side": args.max_side,
            "megapixels": round(float(np.median(megapixels)), 1),
            "sides_divided_by": round(float(np.median(fractions)), 2),
            "decode_and_resize": {name: Timing(tuple(spent)).to_json() for name, spent in seconds.items()},
            "mean_cosine_of_values": round(float(np.mean(cosines)), 5),
            "least_cosine_of_values": round(min(cosines), 5),
            "boxes_with_iou_over_0.9": round(float((np.array(overlaps) > 0.9).mean()), 4),
        },
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
