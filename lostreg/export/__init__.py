"""A run in the formats of other tools; one module per format, all class-agnostic with one class, ``object``.

Single files take the place of an older export; a folder of files is refused where one already lies, so that
labels of two runs never mix. Either is there whole or not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lostreg.errors import RunError, UsageError
from lostreg.export import coco, csv_table, labelme, voc, yolo
from lostreg.export.base import Format, Job, open_job

FORMATS: dict[str, Format] = {
    each.name: each
    for each in (coco.INSTANCES, coco.RESULTS, yolo.FORMAT, voc.FORMAT, labelme.FORMAT, csv_table.FORMAT)
}


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        path: the file, or the folder of files.
        images: how many pictures it covers, those without objects included.
        objects: how many objects.
        failed: how many pictures of the run failed and are left out, since nothing is known of them.
        unfinished: a sentence where the run has pictures left to do, which are left out too.
    """

    path: Path
    images: int
    objects: int
    failed: int
    unfinished: str | None


def export_run(
    run: Path, format: str, output: Path, *, shape: str | None = None, annotations: Path | None = None
) -> Exported:
    """Write a run in another tool's format.

    Args:
        run: the run folder; it is only read.
        format: a name in :data:`FORMATS`.
        output: the folder to write into, made if it is not there.
        shape: one of the format's ``shapes``; ``None`` takes the first.
        annotations: for ``coco-results``: the COCO instances file whose image ids are used; without one, ids
            count from 1 in the order of the keys, as in ``coco``.

    Raises:
        UsageError: an unknown format, or an argument it has no use for.
        RunError: the run cannot be read, or the output cannot be written or is taken.
        AnnotationError: the annotations are damaged.
    """
    if format not in FORMATS:
        raise UsageError(f"--format must be one of {', '.join(FORMATS)}, but it is {format!r}.")
    chosen = FORMATS[format]
    job = open_job(run, output, _checked_shape(chosen, shape))
    if annotations is not None:
        job = coco.with_ids_of(job, chosen, annotations)
    try:
        path = chosen.write(job)
    except OSError as error:
        raise RunError(
            f"Cannot write the export to {output}: {error.strerror or error}; free the disk or choose another --output."
        ) from error
    return Exported(path, len(job.image_ids), job.objects, job.failed, job.unfinished)


def _checked_shape(chosen: Format, shape: str | None) -> str:
    if shape is None:
        return chosen.shapes[0]
    if shape not in chosen.shapes:
        raise UsageError(f"--shape of {chosen.name} must be one of {', '.join(chosen.shapes)}, but it is {shape!r}.")
    return shape


__all__ = ["FORMATS", "Exported", "Format", "Job", "export_run"]
