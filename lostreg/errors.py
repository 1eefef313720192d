"""The failure model of lostreg: every error a user can meet, and the exit code it ends with.

::

    LostregError                    1   base; carries one sentence for people
    ├── UsageError                  2   an option or argument makes no sense
    ├── ImageError                  3   one picture cannot be read (``reason`` is one word)
    ├── FeatureError                3   one picture's features cannot be used (not finite, no attention)
    ├── ModelError                  4   unknown model, or a model without what the method needs
    │   └── WeightsError            4   weights missing, unreachable, corrupt or foreign
    ├── AnnotationError             5   a damaged annotation file or record
    ├── DatasetError                5   a dataset folder that is not laid out as expected
    └── RunError                    6   the run folder: locked, changed settings, unwritable, disk full

A sentence says what was expected, what was found and what to do. ``ImageError`` and
``FeatureError`` cost the picture they name, never the run; a run with failed pictures exits with 3.
A run stopped by a signal exits with 128 + the signal's number (130, 143).
"""

from __future__ import annotations

from typing import ClassVar, Literal

ImageReason = Literal["missing", "unreadable", "empty", "not-an-image", "damaged", "too-large"]
"""The words under which a picture's failure is counted."""


class LostregError(Exception):
    """Base of all errors that lostreg raises on purpose; ``str(error)`` is one sentence for people."""

    exit_code: ClassVar[int] = 1


class UsageError(LostregError):
    """An option or argument makes no sense."""

    exit_code = 2


class ImageError(LostregError):
    """One picture cannot be read.

    ``reason`` is the word it is counted under.
    """

    exit_code = 3

    def __init__(self, reason: ImageReason, sentence: str) -> None:
        """Keep the reason beside the sentence."""
        super().__init__(sentence)
        self.reason = reason


class FeatureError(LostregError):
    """One picture's features cannot be used: not finite, or lacking what the method asks for."""

    exit_code = 3
    reason = "features"


class ModelError(LostregError):
    """An unknown model, or one without what the method needs."""

    exit_code = 4


class WeightsError(ModelError):
    """Weights are missing, unreachable, corrupt, or belong to another model."""


class AnnotationError(LostregError):
    """An annotation file or one of its records is damaged."""

    exit_code = 5


class DatasetError(LostregError):
    """A dataset folder is not laid out as expected."""

    exit_code = 5


class RunError(LostregError):
    """The run folder is locked, was made with other settings, or cannot be written."""

    exit_code = 6
