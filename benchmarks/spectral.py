"""TokenCut's eigenvector by Lanczos against dense generalised solvers, on real features, in alternation."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from common import photographs, write
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch.nn.functional import normalize
from tqdm import tqdm

from lostreg import Discoverer
from lostreg.bench.clock import Timing, alternate, ratios
from lostreg.catalogue import OFFLINE_MODEL
from lostreg.cli import run_script
from lostreg.features import Features
from lostreg.images import read_photograph
from lostreg.methods.ncut import SimilarPairs, eigenvector_of, second_eigenvector
from lostreg.methods.tokencut import PUBLISHED_TAU
from lostreg.objects import find_objects
from lostreg.settings import MethodSettings


def affinity(vectors: torch.Tensor) -> NDArray[np.float64]:
    """Return TokenCut's whole graph of ``(N, D)``, ``(N, N)``."""
    unit = normalize(vectors, dim=1)
    return np.where((unit @ unit.T > PUBLISHED_TAU).numpy(), 1.0, 1e-5)


def dense(weights: NDArray[np.float64], subset: bool) -> NDArray[np.float64]:
    """Return ``y`` as TokenCut's release does, by a dense generalised solver.

    Args:
        weights: the graph, ``(N, N)``.
        subset: ask the solver for two eigenvectors, as the release does; else for all.
    """
    degrees = np.diag(weights.sum(axis=1))
    only = [1, 2] if subset else None
    _, found = eigh(degrees - weights, degrees, subset_by_index=only)
    return np.asarray(found[:, 0 if subset else 1])


def agreement(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the share of patches that two bipartitions at the mean put on the same side, signs being free."""
    same = float(((one > one.mean()) == (other > other.mean())).mean())
    return max(same, 1 - same)


def features_of(discoverer: Discoverer, path: Path) -> Features:
    """Return the values of one photograph."""
    return discoverer.extract(read_photograph(path, upright=False), {"v"})


def times(vectors: torch.Tensor, rounds: int) -> dict[str, object]:
    """Time the solvers on ``(N, D)``: from features to the eigenvector, and the eigenvector alone, given the graph."""
    pairs, weights = SimilarPairs(vectors, PUBLISHED_TAU), affinity(vectors)
    with_graph = {
        "lanczos": lambda: second_eigenvector(vectors, PUBLISHED_TAU),
        "dense, two vectors": lambda: dense(affinity(vectors), subset=True),
        "dense, all": lambda: dense(affinity(vectors), subset=False),
    }
    alone = {
        "lanczos": lambda: eigenvector_of(pairs),
        "dense, two vectors": lambda: dense(weights, subset=True),
        "dense, all": lambda: dense(weights, subset=False),
    }
    return {
        "patches": len(vectors),
        "graph and eigenvector": compared(alternate(with_graph, rounds)),
        "eigenvector": compared(alternate(alone, rounds)),
    }


def compared(timings: dict[str, Timing]) -> dict[str, object]:
    """Return times, and how many times faster than the dense solvers Lanczos is."""
    faster = {name: ratios(timings[name], timings["lanczos"]) for name in ("dense, two vectors", "dense, all")}
    return {**{name: timing.to_json() for name, timing in timings.items()}, "times_faster": faster}


def step(features: Features, method: str) -> None:
    """Find an object in the values."""
    find_objects(features, MethodSettings(method, feature="v"))


def beside_lost(features: Features, rows: int, columns: int, rounds: int) -> dict[str, object]:
    """Time TokenCut's and LOST's whole step on the upper left part of a grid."""
    height, width = features.grid_hw
    part = features.tokens["v"].reshape(height, width, -1)[:rows, :columns].reshape(rows * columns, -1).contiguous()
    pixels = (14 * columns, 14 * rows)
    frame = type(features.frame)(pixels, pixels, (rows, columns), 14)
    small = Features(frame, {"v": part})
    timings = alternate({name: partial(step, small, name) for name in ("tokencut", "lost")}, rounds)
    return {"patches": rows * columns, **{name: timing.to_json() for name, timing in timings.items()}}


def main() -> None:
    """Measure and write ``results/spectral.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--split", default="dev100")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    discoverer = Discoverer(
        OFFLINE_MODEL, device="cpu", engine="torch", precision="fp32", method="tokencut", feature="v"
    )
    shares, largest = [], None
    for path in tqdm(photographs(args.root, args.split)[: args.limit]):
        features = features_of(discoverer, path)
        vectors = features.tokens["v"]
        y = second_eigenvector(vectors, PUBLISHED_TAU)
        if y is not None:
            shares.append(agreement(y, dense(affinity(vectors), subset=True)))
        if largest is None or len(vectors) > len(largest.tokens["v"]):
            largest = features
    assert largest is not None
    write(
        "spectral",
        {
            "split": args.split,
            "graphs": len(shares),
            "same_bipartition": round(float(np.mean(np.array(shares) == 1)), 4),
            "least_agreement": round(min(shares), 5),
            "at_full_size": times(largest.tokens["v"][:1036], args.rounds),
            "beside_lost": beside_lost(largest, 20, 20, 5 * args.rounds),
        },
    )


if __name__ == "__main__":
    sys.exit(run_script(main))
