"""HTML by construction: what is not markup is escaped."""

from __future__ import annotations

import pytest

from lostreg.report.markup import Html, element, joined, table


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (element("p"), "<p></p>"),
        (element("p", None, "", 3), "<p>3</p>"),
        (element("p", "<script>"), "<p>&lt;script&gt;</p>"),
        (element("p", element("b", "&")), "<p><b>&amp;</b></p>"),
        (element("p", Html("<b>")), "<p><b></p>"),
        (element("a", title="\"'<>&"), '<a title="&quot;&#x27;&lt;&gt;&amp;"></a>'),
        (element("div", class_="x", aria_label="y", id=None), '<div class="x" aria-label="y"></div>'),
        (element("img", src="a"), '<img src="a"/>'),
        (element("p", "\udcff\x00"), "<p>\ufffd\ufffd</p>"),
        (joined("a<", element("i")), "a&lt;<i></i>"),
        (table([("a", "<")]), '<table><tbody><tr><th scope="row">a</th><td>&lt;</td></tr></tbody></table>'),
    ],
)
def test_strings_are_escaped_and_markup_is_not(made, expected):
    assert made == expected
    assert isinstance(made, Html)
