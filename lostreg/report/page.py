"""The frame of the page: one file that asks nobody for anything, in light and dark, on paper and on phones."""

from __future__ import annotations

from lostreg.report.markup import Html, element, joined

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

_STYLE = """
:root { color-scheme: light dark; --paper: #f6f7f9; --card: #fff; --ink: #1c2330; --soft: #5b6675; --line: #dde2e9;
  --strong: #1479b8; --weak: #b9c3cf; --warn: #fff3d6; --warn-ink: #6b4a00; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161c; --card: #1b2129; --ink: #e6eaf0; --soft: #9aa6b5;
  --line: #2d3641; --strong: #4fb3ef; --weak: #475463; --warn: #3a2e12; --warn-ink: #f3d48a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 14px; margin: 0 0 10px; color: var(--soft); font-weight: 600; }
header p { margin: 4px 0 0; color: var(--soft); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile strong { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { display: block; font-weight: 600; }
.tile small { color: var(--soft); }
.tile.main { border-color: var(--strong); }
.tile.main strong { color: var(--strong); }
.cards { columns: 350px; column-gap: 14px; margin-top: 14px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px;
  margin-bottom: 14px; break-inside: avoid; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: 4px 10px 4px 0; border-top: 1px solid var(--line); }
tbody tr:first-child > * { border-top: 0; }
thead th { color: var(--soft); font-size: 13px; border-top: 0; }
th[scope] { font-weight: 500; }
.facts td { text-align: right; padding-right: 0; overflow-wrap: break-word; }
.facts small { display: block; color: var(--soft); white-space: nowrap; }
.facts th { color: var(--soft); }
section > table { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  border-collapse: separate; border-spacing: 0; }
section > table > * > tr > * { padding: 8px 12px; }
code { font: 12px/1.4 ui-monospace, Consolas, monospace; overflow-wrap: anywhere; }
ul { margin: 0; padding-left: 18px; }
li { overflow-wrap: anywhere; }
.bars th[scope] { white-space: nowrap; }
.bars .number { text-align: right; }
.bars .wide { width: 45%; }
.bars .note { color: var(--soft); white-space: nowrap; text-align: right; padding-right: 0; font-size: 13px; }
.track { background: var(--line); border-radius: 3px; height: 9px; margin-top: 7px; overflow: hidden; }
.bar { background: var(--strong); height: 100%; }
svg { display: block; width: 100%; height: auto; font-size: 11px; }
svg text { fill: var(--soft); }
svg .axis { fill: var(--ink); font-size: 12px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .strong { fill: var(--strong); }
svg .weak { fill: var(--weak); }
.warning { background: var(--warn); color: var(--warn-ink); border-radius: 8px; padding: 10px 14px; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow: hidden;
  break-inside: avoid; }
figure > img { display: block; width: 100%; height: 240px; object-fit: contain; background: #0b0d10; }
figcaption { padding: 8px 12px 10px; font-size: 13px; color: var(--soft); }
figcaption b { display: block; color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
figcaption span { display: block; overflow-wrap: anywhere; }
figcaption .problem { color: var(--warn-ink); background: var(--warn); border-radius: 4px; padding: 2px 6px; }
.maps { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px; margin-top: 2px; }
.maps img { display: block; width: 100%; height: auto; }
.maps span { display: block; font-size: 11px; color: var(--soft); padding: 2px 6px; }
.card.wide { break-inside: avoid; }
.card h4 { margin: 10px 0 4px; font-size: 13px; font-weight: 600; overflow-wrap: anywhere; }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 4px; }
.strip img { display: block; width: 100%; height: auto; }
.strip span { display: block; font-size: 11px; color: var(--soft); padding: 2px 4px 6px; }
.keys { margin: 6px 0 0; font-size: 12px; color: var(--soft); }
.keys span { margin-right: 12px; white-space: nowrap; }
.keys i { display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: middle; }
svg .line { fill: none; stroke-width: 2; }
.legend { color: var(--soft); }
footer { margin-top: 44px; color: var(--soft); font-size: 13px; }
@media print { body { background: #fff; } .tile { break-inside: avoid; } }
@media (max-width: 520px) { main { padding: 18px 12px 32px; } h1 { font-size: 21px; } figure > img { height: auto; }
 .tiles { grid-template-columns: 1fr 1fr; } .tile { padding: 10px 12px; }
  .tile strong { font-size: 23px; } }
"""


def page(title: str, subtitle: str, content: list[Html | None], footer: str) -> str:
    """Return the whole document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    heading = element("header", element("h1", title), element("p", subtitle))
    body = element("body", element("main", heading, *content, element("footer", footer)))
    return f"<!DOCTYPE html>\n{element('html', joined(head, body), lang='en')}\n"
