"""One page about one run: figures, plots and pictures in a single HTML file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lostreg import __version__
from lostreg.errors import RunError
from lostreg.files import write_text_whole
from lostreg.report.facts import RunFacts, read_facts
from lostreg.report.gallery import Group, draw_groups, sample
from lostreg.report.markup import Html, element
from lostreg.report.page import page
from lostreg.report.sections import (
    distributions,
    evaluation_section,
    failures_section,
    headline,
    moment,
    settings_section,
)
from lostreg.runreader import unfinished

if TYPE_CHECKING:
    from lostreg.datasets import Dataset
    from lostreg.evaluate import Evaluation

PICTURES = 24
"""The most pictures of a page: with 480 pixels each it stays below 5 MB, what mail servers let pass."""

_HIT = 0.5


@dataclass(frozen=True, eq=False)
class _Judged:
    """A run beside its ground truth."""

    evaluation: Evaluation
    name: str
    ious: dict[str, float]
    paths: dict[str, Path]
    truths_xyxy: dict[str, NDArray[np.float64]]


def write_report(
    run: Path,
    output: Path,
    *,
    dataset: Dataset | None = None,
    no_hard: bool = False,
    maps: bool = False,
    seed: int = 0,
) -> Path:
    """Write the page of a run and return where it lies.

    Args:
        run: the run folder; it is only read.
        output: the HTML file, replaced whole if it is there.
        dataset: what the run is judged against; ``None`` shows the run alone.
        no_hard: judge without VOC's difficult and truncated objects.
        maps: run the model again for the pictures shown and add the maps that explain the first object.
        seed: of the random choice of pictures and of the bootstrap interval.

    Raises:
        RunError: the run cannot be read, has no picture, or the page cannot be written.
        AnnotationError: the dataset's annotations are damaged or of other pictures.
        WeightsError: ``maps`` are asked for and the weights cannot be had.
    """
    facts = read_facts(run)
    if not facts.best_scores and not facts.failures:
        raise RunError(f"{run} holds no picture yet, so there is nothing to report.")
    judged = _judge(run, dataset, no_hard, seed) if dataset is not None else None
    text = _document(facts, judged, maps, seed)
    try:
        write_text_whole(output, text)
    except OSError as error:
        raise RunError(f"Cannot write {output}: {error.strerror or error}; name another file with --output.") from error
    return output


def _judge(run: Path, dataset: Dataset, no_hard: bool, seed: int) -> _Judged:
    from lostreg.evaluate import evaluate
    from lostreg.predictions import read_predictions

    truths = dataset.truths()
    evaluation = evaluate(truths, read_predictions(run, dataset.keys_by_id), no_hard=no_hard, seed=seed)
    hard = ", without difficult and truncated objects" if no_hard else ""
    return _Judged(
        evaluation,
        f"{dataset.name}{f' {dataset.split}' if dataset.split else ''}{hard}",
        {key: float(value) for key, value in zip(evaluation.keys, evaluation.best_ious, strict=True)},
        dict(dataset.images),
        {key: truth.boxes_xyxy[truth.easy] if no_hard else truth.boxes_xyxy for key, truth in truths.items()},
    )


def _document(facts: RunFacts, judged: _Judged | None, maps: bool, seed: int) -> str:
    make_maps = None
    if maps:
        from lostreg.report.maps import map_maker

        make_maps = map_maker(facts.identity, facts.header.get("registers"))
    groups = _groups_by_score(facts, seed) if judged is None else _groups_by_iou(facts, judged, seed)
    pictures = draw_groups(
        facts.folder,
        groups,
        paths=judged.paths if judged else {},
        truths_xyxy=judged.truths_xyxy if judged else {},
        make_maps=make_maps,
    )
    not_done = unfinished(facts.header)
    content: list[Html | None] = [
        element("p", not_done, class_="warning") if not_done and judged is None else None,
        headline(facts, judged.evaluation if judged else None),
        evaluation_section(judged.evaluation, judged.name) if judged else None,
        _legend(judged is not None, maps) if facts.best_scores else None,
        *pictures,
        distributions(facts) if facts.best_scores else None,
        failures_section(facts),
        settings_section(facts),
    ]
    model = facts.identity.get("model", "unknown model")
    method = facts.identity.get("method", "unknown method")
    subtitle = f"{model}, {method}, {moment(facts.header['updated'])}"
    return page(
        f"Objects in {facts.folder.name}", subtitle, content, f"Made by lostreg {__version__} from {facts.folder}."
    )


def _legend(has_truth: bool, has_maps: bool) -> Html:
    sentences = ["Solid boxes are what was found, with the score and, as a ring, the patch the object grew from."]
    if has_truth:
        sentences.append("Dashed white boxes are what people annotated.")
    if has_maps:
        sentences.append("Maps belong to the first object and run from dark blue (lowest) to yellow (highest).")
    return element("p", " ".join(sentences), class_="legend")


def _groups_by_score(facts: RunFacts, seed: int) -> list[Group]:
    """Choose random pictures, then the clearest and the faintest of the rest."""
    chosen = sample(facts.best_scores, PICTURES // 2, seed)
    rest = [key for key in facts.best_scores if key not in set(chosen)]
    ordered = sorted(rest, key=lambda key: (-facts.best_scores[key], key))
    clear = ordered[: PICTURES // 4]
    faint = ordered[len(clear) :][-(PICTURES // 4) :][::-1]
    titles = (f"Random pictures (seed {seed})", "The clearest of the others", "The faintest of the others")
    return [
        Group(title, {key: f"score {facts.best_scores[key]:.2f}" for key in keys})
        for title, keys in zip(titles, (chosen, clear, faint), strict=True)
    ]


def _groups_by_iou(facts: RunFacts, judged: _Judged, seed: int) -> list[Group]:
    """Choose random pictures, then the best and the worst of the rest, among those that are evaluated."""
    each = PICTURES // 3
    ious = {key: iou for key, iou in judged.ious.items() if key in facts.best_scores}
    chosen = sample(ious, each, seed)
    rest = sorted((key for key in ious if key not in set(chosen)), key=lambda key: (-ious[key], key))
    best = rest[:each]
    worst = rest[len(best) :][-each:][::-1]
    titles = ("The best pictures", "The worst pictures", f"Random pictures (seed {seed})")
    return [
        Group(title, {key: _verdict(ious[key], facts.best_scores[key]) for key in keys})
        for title, keys in zip(titles, (best, worst, chosen), strict=True)
    ]


def _verdict(iou: float, score: float) -> str:
    return f"{'hit' if iou >= _HIT else 'missed'}, IoU {iou:.2f}, score {score:.2f}"


__all__ = ["PICTURES", "write_report"]
