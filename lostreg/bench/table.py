"""The figures of a benchmark as text."""

from __future__ import annotations

from typing import Any


def to_text(found: dict[str, Any]) -> str:
    """Return what :func:`lostreg.bench.measure` found, for a terminal."""
    where = found["machine"]
    peaks = {row["precision"]: row["peak_gflops"] for row in found["vit"]}
    lines = [
        f"{found['model']} on {where['device']}, {where['threads']} thread(s); matrix products reach "
        + ", ".join(f"{rate:.0f} GFLOP/s in {precision}" for precision, rate in peaks.items()),
        "",
        "ViT                  picture      batch   at once   one grid   ms per picture (10 to 90 %)   GFLOP/s   "
        "of the peak (10 to 90 %)",
    ]
    lines += [
        f"{row['engine']:9} {row['precision']:10} {_size(row):12} {row['batch']:5}   {row['at_once']:7}   "
        f"{'yes' if row['one_grid'] else 'no':8}   {_ms(row):27} {row['gflops']:9.0f}   {_share(row['share_of_peak'])}"
        for row in found["vit"]
    ]
    for stages in found["stages"]:
        lines += ["", f"Other stages ({found['method']}), {_size(stages)}   ms (10 to 90 %)"]
        lines += [f"{name:28}   {_ms(timing)}" for name, timing in stages.items() if name != "image_wh"]
    lines += ["", "End to end            images/s   ms per picture (10 to 90 %)   not in the ViT   against published"]
    lines += [_whole(name, row) for name, row in found["end_to_end"].items()]
    memory = ", ".join(f"{name} {size:.0f} MB" for name, size in found["peak_memory_mb"].items())
    lines += ["", f"Peak memory: {memory}"]
    return "\n".join(line.rstrip() for line in lines)


def _size(row: dict[str, Any]) -> str:
    width, height = row["image_wh"]
    return f"{width} x {height}"


def _ms(timing: dict[str, Any]) -> str:
    return f"{timing['median_ms']:.2f} ({timing['p10_ms']:.2f} to {timing['p90_ms']:.2f})"


def _share(ratio: dict[str, Any]) -> str:
    return f"{100 * ratio['median']:.0f} % ({100 * ratio['p10']:.0f} to {100 * ratio['p90']:.0f})"


def _whole(name: str, row: dict[str, Any]) -> str:
    share = f"{100 * row['not_vit_share']:.1f} %" if "not_vit_share" in row else ""
    times = row.get("times_published")
    against = f"{times['median']:.2f} x ({times['p10']:.2f} to {times['p90']:.2f})" if times else ""
    return f"{name:20} {row['images_per_second']:9.2f}   {_ms(row):27}   {share:>14}   {against}"
