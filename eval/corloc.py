"""CorLoc of a run or a file of predictions: the options of ``lostreg eval``.

The published boxes of LOST on VOC2007, which come out as in the paper::

    python eval/corloc.py lost_published_predictions.json --dataset voc07 --root VOCdevkit --published
"""

from __future__ import annotations

import sys

from lostreg.cli import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
