"""The page of ``lostreg registers inspect``: one model, or two side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lostreg import __version__
from lostreg.draw import RGB, heat_map, shrunk
from lostreg.laboratory import Inspected
from lostreg.registers.inspection import BlockNorms
from lostreg.registers.probe import Judged
from lostreg.report.gallery import MAP_LONGEST, jpeg
from lostreg.report.markup import Child, Html, element, table
from lostreg.report.page import page
from lostreg.report.plots import curves, histogram

_EXTRA_SHOWN = 5
"""CLS and four registers; models with more show the first of them."""


def registers_page(looks: Sequence[Inspected], shown: int) -> str:
    """Return the page as HTML.

    Args:
        looks: one model, or several on the same pictures.
        shown: how many pictures to show, those with the most outliers of the first model first.
    """
    content: list[Html | None] = [
        element("div", *(_tile(each) for each in looks), class_="tiles"),
        _pictures(looks, shown),
        _norms(looks),
        _where(looks),
        _rules(looks),
        _probes(looks),
        _how(looks),
    ]
    pictures = looks[0].summary.pictures
    return page(
        "Artifacts and registers",
        f"{' against '.join(each.name for each in looks)}, {pictures:,} {'picture' if pictures == 1 else 'pictures'}",
        content,
        f"Made by lostreg {__version__}.",
    )


def _tile(look: Inspected) -> Html:
    return element(
        "div",
        element("strong", f"{look.summary.outlier_share:.2%}"),
        element("span", "of the patches are outliers"),
        element("small", f"{look.name}: {look.verdict()}"),
        class_="tile main",
    )


def _pictures(looks: Sequence[Inspected], shown: int) -> Html | None:
    counts = [int(mask.sum()) for mask in looks[0].outliers()]
    order = sorted(range(len(counts)), key=lambda index: (-counts[index], index))[:shown]
    if not order:
        return None
    legend = (
        "Norm map: length of the patch tokens before the final LayerNorm, behind the reference block. Attention: last "
        "block, mean over heads. LOST: its score (patches similar to few others are candidates for the seed), the "
        "seed's similarity, and the expansion. All maps run from dark blue, their own lowest value, to yellow, their "
        "highest."
    )
    return element(
        "section",
        element("h2", "What the tokens show"),
        element("p", legend, class_="legend"),
        *(_picture(looks, index) for index in order),
    )


def _picture(looks: Sequence[Inspected], index: int) -> Html:
    rgb = looks[0].items[index].read().rgb
    rows = [element("div", _map("picture", rgb), *_maps(look, index, rgb), class_="strip") for look in looks]
    parts = [
        part
        for look, row in zip(looks, rows, strict=True)
        for part in (element("h4", f"{look.name}: {int(look.outliers()[index].sum())} outliers"), row)
    ]
    return element("div", element("h3", looks[0].items[index].key), *parts, class_="card wide")


def _maps(look: Inspected, index: int, rgb: RGB) -> list[Html]:
    seen = look.pictures[index]
    norms = seen.norms[look.summary.reference_layer]
    named = {f"norms, {norms.min():.0f} to {norms.max():.0f}": norms}
    for name, values in list(zip(look.extra_names, seen.attention, strict=True))[:_EXTRA_SHOWN]:
        named[f"{name} attention"] = values
    found = look.lost(index)
    lost = {
        "LOST score": -found.maps["degree"],
        "seed similarity": found.maps["seed similarity"],
        "expansion": found.maps["expansion"],
    }
    maps = {name: values.reshape(seen.frame.grid_hw) for name, values in {**named, **lost}.items()}
    return [_map(name, heat_map(np.asarray(values, np.float32), seen.frame, rgb)) for name, values in maps.items()]


def _map(title: str, rgb: RGB) -> Html:
    return element("div", jpeg(shrunk(rgb, MAP_LONGEST), title), element("span", title))


def _norms(looks: Sequence[Inspected]) -> Html:
    cards = []
    for look in looks:
        cards += [_card(f"Norms behind every block: {look.name}", _by_block(look.summary.blocks, look.extra_names))]
        layer, threshold = look.summary.reference_layer, look.summary.threshold.value
        norms = np.concatenate([each.norms[layer] for each in look.pictures])
        top = max(float(norms.max()), threshold) * 1.02
        label = f"norm behind block {layer}; outliers in strong colour"
        plot = histogram(norms, top, label, bins=40, strong_from=threshold, logarithmic=True)
        cards.append(_card(f"Histogram of the norms: {look.name}", plot))
    return element("section", element("h2", "How long the tokens are"), element("div", *cards, class_="cards"))


def _by_block(blocks: Sequence[BlockNorms], extra: Sequence[str]) -> Html:
    series = {
        "longest patch": [each.highest for each in blocks],
        "98th percentile": [each.percentile_98 for each in blocks],
        "median patch": [each.median for each in blocks],
    }
    if extra:
        series[extra[0]] = [each.extra[0] for each in blocks]
    if len(extra) > 1:
        series["registers, mean"] = [float(np.mean(each.extra[1:])) for each in blocks]
    return curves(series, "block, from 0; norm on a logarithmic axis")


def _where(looks: Sequence[Inspected]) -> Html:
    rows: list[tuple[Child, ...]] = []
    for look in looks:
        seen = look.summary
        appears = "–" if seen.appears is None else f"{seen.appears}"
        rows.append(
            (
                look.name,
                f"{seen.pictures_with_outliers} of {seen.pictures}",
                appears,
                f"{_percent(seen.border_share[0])} (all patches: {_percent(seen.border_share[1])})",
                f"{_number(seen.neighbour_cosine[0])} (others: {_number(seen.neighbour_cosine[1])})",
            )
        )
    head = ("model", "pictures with outliers", "appear behind block", "at the border", "cosine to neighbours")
    note = (
        "Outliers of large models sit on patches that look like their neighbours right behind the patch embedding, and "
        "rather at the border (arXiv 2309.16588, Fig. 5a and App. A)."
    )
    return element("section", element("h2", "Where the outliers sit"), element("p", note), table(rows, head))


def _rules(looks: Sequence[Inspected]) -> Html:
    rows: list[tuple[Child, ...]] = [
        (look.name, each.threshold.rule, f"{each.threshold.value:.1f}", f"{each.share:.2%}", each.threshold.source)
        for look in looks
        for each in look.summary.published
    ]
    rows += [
        (look.name, look.summary.threshold.rule, f"{look.summary.threshold.value:.1f}", _percent(share), "this page")
        for look in looks
        for share in (look.summary.outlier_share,)
    ]
    head = ("model", "rule", "norm", "patches above", "source")
    note = (
        "The second and third rule name outliers in any model. This page goes by the last one, which asks that they "
        "stand apart."
    )
    return element("section", element("h2", "By the rules of the papers"), element("p", note), table(rows, head))


def _probes(looks: Sequence[Inspected]) -> Html | None:
    rows: list[tuple[Child, ...]] = [
        (f"{look.name}: {kind}", *_judged(judged))
        for look in looks
        if look.probed is not None
        for kind, judged in (("normal", look.probed.normal), ("outliers", look.probed.outliers))
    ]
    if not rows:
        return None
    head = ("tokens of held-out pictures", "how many", "position right", "off by, patches", "pixel error")
    note = (
        "Ridge regressions from output tokens to the position of a patch and to its pixels, judged on other pictures."
    )
    return element("section", element("h2", "What linear probes read"), element("p", note), table(rows, head))


def _judged(judged: Judged) -> tuple[Child, ...]:
    hits = "–" if judged.position_hits is None else f"{judged.position_hits:.1f}\u00a0%"
    return f"{judged.tokens:,}", hits, _number(judged.position_distance), _number(judged.pixel_error)


def _how(looks: Sequence[Inspected]) -> Html:
    rows: list[tuple[Child, ...]] = []
    for look in looks:
        weights, backbone = look.discoverer.weights, look.discoverer.backbone
        rows.append((look.name, weights.source, weights.sha256[:12], f"{backbone.registers}", f"{backbone.device}"))
    head = ("model", "source", "SHA-256", "registers", "device")
    return element("section", element("h2", "How it was made"), table(rows, head))


def _card(title: str, content: Html) -> Html:
    return element("div", element("h3", title), content, class_="card")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
