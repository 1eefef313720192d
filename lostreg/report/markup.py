"""HTML by construction: every string is escaped unless it is markup already."""

from __future__ import annotations

from html import escape

from lostreg.export.names import legible

_VOID = frozenset({"img", "meta", "rect", "line"})


class Html(str):
    """Markup. Any other text becomes part of a page only after it was escaped."""

    __slots__ = ()


Child = Html | str | int | None


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """Return an element; ``None`` children and attributes are left out.

    Attribute names may end in ``_`` (``class_``), and other ``_`` stand for ``-``.

    Example:
        >>> element("p", "a < b", element("b", "c"), class_="note")
        '<p class="note">a &lt; b<b>c</b></p>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(legible(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Html:
    """Return children one after the other, escaped where they are not markup."""
    return Html("".join(each if isinstance(each, Html) else _escaped(each) for each in children if each is not None))


def table(rows: list[tuple[Child, ...]], head: tuple[str, ...] = (), **attributes: str | None) -> Html:
    """Return a table; the first cell of a row names it."""
    header = element("thead", element("tr", *(element("th", name) for name in head))) if head else None
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    return element("table", header, element("tbody", *body), **attributes)


def _escaped(text: str | int) -> str:
    return escape(legible(str(text)))
