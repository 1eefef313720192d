"""The sections of a report: figures first, then what they rest on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from lostreg.report.facts import RunFacts
from lostreg.report.markup import Child, Html, element, joined, table
from lostreg.report.plots import bar_rows, columns, histogram

if TYPE_CHECKING:
    from lostreg.evaluate import Evaluation
    from lostreg.metrics.corloc import Share

_EXAMPLES = 5
_MOST_COUNTED = 10


def headline(facts: RunFacts, evaluation: Evaluation | None) -> Html:
    """Return the numbers that are looked at first, as tiles."""
    failed = sum(map(len, facts.failures.values()))
    tiles = [
        _tile(f"{len(facts.best_scores):,}", "pictures", f"{failed:,} failed" if failed else "none failed"),
        _tile(f"{len(facts.scores):,}", "objects", f"on {int((facts.counts > 0).sum()):,} pictures"),
    ]
    timings = facts.header.get("timings", {})
    if "images_per_second" in timings:
        device = str(facts.header.get("device", "")) or "unknown device"
        tiles.append(_tile(f"{timings['images_per_second']:.3g}", "pictures per second", f"on {device}"))
    if evaluation is not None:
        low, high = evaluation.interval
        interval = f"95 % interval {low:.1f} to {high:.1f}"
        tiles.insert(0, _tile(f"{evaluation.corloc.percent or 0:.2f}\u00a0%", "CorLoc", interval, class_="tile main"))
    return element("div", *tiles, class_="tiles")


def evaluation_section(evaluation: Evaluation, dataset: str) -> Html:
    """Return the figures of an evaluation with their plots."""
    found = [("CorLoc", evaluation.corloc), ("the whole picture as the box", evaluation.floor)]
    found.append(("boxes of the whole picture", evaluation.whole_image))
    rows: list[tuple[Child, ...]] = [(name, _share_cell(share)) for name, share in found]
    rows.append(("mean best IoU", f"{evaluation.mean_best_iou:.4f}"))
    rows.append(("without a box (misses)", f"{evaluation.without_prediction:,}"))
    rows.append(("without an object (not counted)", f"{evaluation.without_objects:,}"))
    if evaluation.detection is not None:
        rows += [(name.upper(), f"{value:.2f}") for name, value in asdict(evaluation.detection).items()]
    return element(
        "section",
        element("h2", f"Against {dataset}"),
        element("p", "A picture is hit if its first box overlaps an annotated object with an IoU of 0.5 or more."),
        *(element("p", sentence, class_="warning") for sentence in evaluation.warnings),
        element(
            "div",
            _card("Figures", table(rows, class_="facts")),
            *_iou_plots(evaluation),
            _card("CorLoc by size of the largest object", _share_bars(evaluation.by_size.items(), "size")),
            _card("CorLoc by class, where it is in the picture", _class_bars(evaluation)),
            class_="cards",
        ),
    )


def distributions(facts: RunFacts) -> Html:
    """Return the histograms of scores, box areas and objects per picture."""
    plots = [
        _card("How clearly objects stand out", histogram(facts.scores, 1.0, "score")),
        _card("How large their boxes are", histogram(facts.box_shares, 100.0, "box area, % of the picture")),
    ]
    if facts.counts.size and facts.counts.max() > 1:
        top = min(int(facts.counts.max()), _MOST_COUNTED)
        counts = [float((facts.counts.clip(max=top) == number).sum()) for number in range(top + 1)]
        names = [f"{number}" if number < _MOST_COUNTED else f"{number}+" for number in range(top + 1)]
        tips = [f"{name} objects: {count:g} pictures" for name, count in zip(names, counts, strict=True)]
        ticks = {index + 0.5: name for index, name in enumerate(names)}
        plots.append(
            _card("How many there are", columns(counts, tips, ticks, "objects in a picture", [True] * len(names)))
        )
    return element("section", element("h2", "What was found"), element("div", *plots, class_="cards"))


def failures_section(facts: RunFacts) -> Html | None:
    """Return the failures by reason with some of their sentences; ``None`` if there are none."""
    if not facts.failures:
        return None
    rows: list[tuple[Child, ...]] = [
        (reason, f"{len(sentences):,}", _sentences(sentences)) for reason, sentences in facts.failures.items()
    ]
    return element("section", element("h2", "Pictures that failed"), table(rows, ("reason", "pictures", "such as")))


def settings_section(facts: RunFacts) -> Html:
    """Return how the run was made: model, checksum, settings, timing, versions."""
    weights = facts.header.get("weights", {})
    told = {"note": weights.get("note"), "source": weights.get("source"), "licence": weights.get("licence")}
    rows: list[tuple[Child, ...]] = [(name, _value(value)) for name, value in facts.identity.items()]
    rows += [(f"weights: {name}", value) for name, value in told.items() if value]
    cards = [_card("Settings and weights", table(rows, class_="facts"))]
    timing: list[tuple[Child, ...]] = [
        (name, moment(facts.header[name])) for name in ("created", "updated") if name in facts.header
    ]
    timing += [(name, str(facts.header[name])) for name in ("state", "device") if name in facts.header]
    seconds = facts.header.get("timings", {}).get("seconds")
    timing += [("seconds of the last call", f"{seconds:,.1f}")] if seconds is not None else []
    timing += [(f"{stage}, ms per picture", f"{spent:.1f}") for stage, spent in facts.stage_ms.items()]
    cards.append(_card("Time", table(timing, class_="facts")))
    versions: list[tuple[Child, ...]] = [
        (name, value) for name, value in facts.header.get("versions", {}).items() if value
    ]
    if versions:
        cards.append(_card("Versions", table(versions, class_="facts")))
    return element("section", element("h2", "How it was made"), element("div", *cards, class_="cards"))


def moment(stamp: str) -> str:
    """Return a time of ``run.json`` without its seconds, for people."""
    return stamp[:16].replace("T", " ")


def _tile(number: str, name: str, note: str, class_: str = "tile") -> Html:
    return element("div", element("strong", number), element("span", name), element("small", note), class_=class_)


def _card(title: str, content: Html) -> Html:
    return element("div", element("h3", title), content, class_="card")


def _iou_plots(evaluation: Evaluation) -> tuple[Html, Html]:
    shares = evaluation.corloc_at
    percents = [share.percent or 0.0 for share in shares.values()]
    tips = [f"IoU {name}: {_share(share)}" for name, share in shares.items()]
    ticks = {index + 0.5: name.removeprefix("0") for index, name in enumerate(shares)}
    at = columns(percents, tips, ticks, "CorLoc in % by the IoU asked for", [True] * len(shares))
    return (
        _card(
            "Best IoU of every picture",
            histogram(evaluation.best_ious, 1.0, "IoU, hits in strong colour", strong_from=0.5),
        ),
        _card("CorLoc where more overlap is asked for", at),
    )


def _class_bars(evaluation: Evaluation) -> Html:
    ordered = sorted(evaluation.by_class.items(), key=lambda item: -(item[1].percent or 0.0))
    return _share_bars(ordered, "class")


def _share_bars(shares: Iterable[tuple[str, Share]], name: str) -> Html:
    return bar_rows([(each, share.percent, f"{share.hits} of {share.images}") for each, share in shares], name)


def _share(share: Share) -> str:
    return "–" if share.percent is None else f"{share.percent:.2f}\u00a0% ({share.hits:,} of {share.images:,})"


def _share_cell(share: Share) -> Html:
    if share.percent is None:
        return _cell("–", "nothing to count")
    return _cell(f"{share.percent:.2f}\u00a0%", f"{share.hits:,} of {share.images:,}")


def _cell(value: str, note: str) -> Html:
    return joined(value, element("small", note))


def _sentences(sentences: list[str]) -> Html:
    shown = [element("li", sentence) for sentence in sentences[:_EXAMPLES]]
    rest = len(sentences) - len(shown)
    more = element("li", f"and {rest:,} more in failures.jsonl") if rest else None
    return element("ul", *shown, more)


def _value(value: object) -> Html:
    text = "none" if value is None else str(value)
    return joined(element("code", text) if len(text) > 40 else text)
