"""A tally tells whether two listings are of the same pictures, in whatever order."""

from __future__ import annotations

from lostreg.sources import ImageItem
from lostreg.tally import Tally


def test_nothing_counts_as_nothing():
    assert (Tally().count, Tally().digest) == (0, "0" * 32)


def test_the_same_keys_give_the_same_in_any_order_and_others_do_not():
    keys = [f"{number}.jpg" for number in range(100)]
    assert Tally(keys).digest == Tally(reversed(keys)).digest
    digests = {Tally(keys[:number] + keys[number + 1 :] + ["x"]).digest for number in range(100)}
    assert len(digests | {Tally(keys).digest, Tally([*keys, "0.jpg"]).digest}) == 102


def test_what_passes_is_counted():
    tally = Tally()
    items = [ImageItem(key, key, b"") for key in ("a", "n\udcff")]
    assert list(tally.passing(items)) == items
    assert (tally.count, tally.digest) == (2, Tally(["n\udcff", "a"]).digest)
