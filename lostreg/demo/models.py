"""The models on offer, each loaded once, when it is first asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

from lostreg.catalogue import ENTRIES, ModelEntry
from lostreg.discover import Discoverer
from lostreg.errors import UsageError
from lostreg.presets import PRESETS, Preset
from lostreg.registers.choice import split_model
from lostreg.weights import find_entry, is_cached

LOADED_MOST = 2
"""As many as the compare tab needs at once; the one that was used longest ago makes room."""


def entry_of(name: str) -> ModelEntry:
    """Return the catalogue's entry of a name on offer, ``NAME[@REVISION][+REGISTERS]``."""
    return find_entry(split_model(name)[0])[0]


def preset_of(name: str) -> Preset:
    """Return what a model on offer is read with where nothing else is said."""
    return PRESETS[entry_of(name).family]


class Models:
    """Discoverers by the name of their model.

    Attributes:
        names: what visitors can choose from; nothing else is ever loaded. The first one is the default.
        note: why the default model is not the usual one, if it is not.
    """

    def __init__(self, names: Sequence[str] = (), load: Callable[[str | None], Discoverer] = Discoverer) -> None:
        """Load the first model and offer the others.

        Args:
            names: models to offer; without any, the default one and all whose weights are cached.
            load: makes a model's discoverer, or with ``None`` the default one.

        Raises:
            LostregError: the first model cannot be had.
        """
        self._load = load
        self._lock = Lock()
        first = self._load(names[0] if names else None)
        self.note = first.weights.note
        name = names[0] if names else first.weights.entry.name
        self._loaded: OrderedDict[str, Discoverer] = OrderedDict({name: first})
        offered = names or [name, *(entry.name for entry in ENTRIES if is_cached(entry))]
        self.names = list(dict.fromkeys(offered))

    def get(self, name: str) -> Discoverer:
        """Return a model, loading it if needed.

        Raises:
            UsageError: it is not on offer.
            ModelError: it cannot be had.
        """
        if name not in self.names:
            raise UsageError(f"The model must be one of {', '.join(self.names)}, but it is {name!r}.")
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load(name)
            self._loaded.move_to_end(name)
            while len(self._loaded) > LOADED_MOST:
                self._loaded.popitem(last=False)
            return self._loaded[name]
