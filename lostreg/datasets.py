"""Evaluation datasets on disk: which pictures, where they lie, and what people drew on them.

========  ==========================================================================================
voc07     ``VOC2007/ImageSets/Main/SPLIT.txt``, ``Annotations``, ``JPEGImages``; SPLIT is ``trainval`` if not named
voc12     the same under ``VOC2012``
coco      ``annotations/instances_SPLIT.json`` with the pictures in ``SPLIT/`` or ``images/SPLIT/`` (2014, 2017), or
          ``annotations/instances.json`` with the pictures in ``images/``
coco20k   the 19,817 pictures of LOST's list in ``annotations/instances_train2014.json``
folder    any folder of pictures, with a COCO json or with VOC XML beside the pictures
========  ==========================================================================================

Pictures need not be there to evaluate: predictions are compared with annotations alone.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from lostreg.annotations import CocoFile, GroundTruth, read_coco, read_voc
from lostreg.errors import AnnotationError, DatasetError, UsageError
from lostreg.layout import is_part_of_a_run
from lostreg.sources import find_pictures

DATASETS = ("voc07", "voc12", "coco", "coco20k", "folder")
_VOC_YEARS = {"voc07": "VOC2007", "voc12": "VOC2012"}
_COCO20K_SPLIT = "train2014"


class DatasetImage(NamedTuple):
    """A picture of a dataset: its key (``000005.jpg``) and where it lies, if it is there."""

    key: str
    path: Path


@dataclass(frozen=True)
class Dataset:
    """Pictures in a stable order, and their ground truth.

    Attributes:
        name: one of :data:`DATASETS`.
        split: the split's name, or ``None`` where the dataset has none.
        images: in the order of the split file (VOC), of the image ids (COCO) or of the names (folder).
        keys_by_id: COCO's image ids, by which results lists name pictures; empty for the others.
    """

    name: str
    split: str | None
    images: tuple[DatasetImage, ...]
    _read_truths: Callable[[], dict[str, GroundTruth]] = field(repr=False, compare=False)
    keys_by_id: dict[int, str] = field(default_factory=dict, repr=False, compare=False)

    def truths(self) -> dict[str, GroundTruth]:
        """Read the ground truth of every picture, by key, in the order of ``images``.

        Raises:
            AnnotationError: an annotation is missing or damaged.
            DatasetError: the dataset has no annotations.
        """
        try:
            return self._read_truths()
        except OSError as error:
            raise _unreadable(self.name, error) from error


def open_dataset(name: str, root: Path, split: str | None = None, annotations: Path | None = None) -> Dataset:
    """Open a dataset.

    Args:
        name: one of :data:`DATASETS`.
        root: VOC: the folder that holds ``VOC2007`` or ``VOC2012``, or that folder itself; COCO: the folder that
            holds the pictures and ``annotations``; folder: the pictures.
        split: the name of a split; ``None`` takes the usual one.
        annotations: an instances file to read instead of COCO's usual one, or beside a folder.

    Raises:
        DatasetError: the folder is not laid out as expected.
        AnnotationError: COCO's instances file is damaged.
        UsageError: an unknown name, or an argument that the dataset has no use for.
    """
    if name not in DATASETS:
        raise UsageError(f"--dataset must be one of {', '.join(DATASETS)}, but it is {name!r}.")
    try:
        if not root.is_dir():
            raise DatasetError(f"--root must be the folder of the dataset {name}, but {root} is not a folder.")
        if name in _VOC_YEARS:
            return _open_voc(name, root, split, annotations)
        if name == "folder":
            return _open_folder(root, split, annotations)
        return _open_coco(name, root, split, annotations)
    except OSError as error:
        raise _unreadable(name, error) from error


def coco20k_ids() -> list[int]:
    """Return the 19,817 image ids of COCO20k, ascending (see ``lostreg/data/README.md``)."""
    packed = files("lostreg").joinpath("data", "coco20k.txt.gz").read_bytes()
    return [int(line) for line in gzip.decompress(packed).split()]


def _unreadable(name: str, error: OSError) -> DatasetError:
    return DatasetError(f"Cannot read the dataset {name}: {error.strerror or error} ({error.filename}).")


def _open_voc(name: str, root: Path, split: str | None, annotations: Path | None) -> Dataset:
    if annotations is not None:
        raise UsageError(f"--annotations makes no sense with --dataset {name}, which has its own Annotations folder.")
    year = _VOC_YEARS[name]
    folder = root / year if (root / year).is_dir() else root
    for part in ("ImageSets/Main", "Annotations"):
        if not (folder / part).is_dir():
            raise DatasetError(f"Expected {year} or its folders ImageSets/Main and Annotations in {root}.")
    split = split or "trainval"
    ids = _read_split(folder / "ImageSets" / "Main", split)
    images = tuple(DatasetImage(f"{each}.jpg", folder / "JPEGImages" / f"{each}.jpg") for each in ids)
    return Dataset(name, split, images, partial(_read_voc_files, images, folder / "Annotations"))


def _read_split(folder: Path, split: str) -> list[str]:
    path = folder / f"{split}.txt"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        found = ", ".join(sorted(each.stem for each in folder.glob("*.txt"))[:20]) or "none"
        raise DatasetError(f"No split {split!r} in {folder}; there are: {found}.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"Cannot read the split {path}: {error}.") from error
    ids: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        image_id = line.strip()
        if not re.fullmatch(r"[\w.-]+", image_id):
            raise DatasetError(f"{path}, line {number}: expected one image id, but found {image_id[:60]!r}.")
        if image_id in ids:
            raise DatasetError(f"{path}, line {number}: {image_id} is listed on line {ids[image_id]} already.")
        ids[image_id] = number
    if not ids:
        raise DatasetError(f"The split {path} lists no image.")
    return list(ids)


def _read_voc_files(images: tuple[DatasetImage, ...], folder: Path) -> dict[str, GroundTruth]:
    return {image.key: read_voc(folder / f"{Path(image.key).stem}.xml", image.key) for image in images}


def _open_coco(name: str, root: Path, split: str | None, annotations: Path | None) -> Dataset:
    if name == "coco20k":
        if split not in (None, _COCO20K_SPLIT):
            raise UsageError(f"COCO20k lies in {_COCO20K_SPLIT}; leave --split out instead of asking for {split!r}.")
        split = _COCO20K_SPLIT
    path = annotations or _find_instances(root, split)
    split = split or path.stem.removeprefix("instances").removeprefix("_") or None
    content = read_coco(path)
    if name == "coco20k":
        content = _only_coco20k(content, path)
    parts = [Path(split), Path("images") / split] if split else []
    folder = next((root / each for each in [*parts, Path("images")] if (root / each).is_dir()), root)
    return _coco_dataset(name, split, content, folder)


def _find_instances(root: Path, split: str | None) -> Path:
    if split is not None:
        return root / "annotations" / f"instances_{split}.json"
    found = sorted((root / "annotations").glob("instances*.json"))
    if len(found) != 1:
        names = ", ".join(each.name for each in found) or "none"
        raise DatasetError(
            f"Expected one instances file in {root / 'annotations'}, but found {names}; name a --split such as "
            "val2017, or a file with --annotations."
        )
    return found[0]


def _only_coco20k(content: CocoFile, path: Path) -> CocoFile:
    ids = coco20k_ids()
    missing = [each for each in ids if each not in content.keys_by_id]
    if missing:
        raise DatasetError(
            f"{path} lacks {len(missing)} of the {len(ids)} images of COCO20k, such as {missing[0]}; it must be "
            "instances_train2014.json."
        )
    keys_by_id = {each: content.keys_by_id[each] for each in ids}
    return CocoFile(keys_by_id, {key: content.truths[key] for key in keys_by_id.values()})


def _coco_dataset(name: str, split: str | None, content: CocoFile, folder: Path) -> Dataset:
    images = tuple(DatasetImage(key, folder / key) for key in content.truths)
    if not images:
        raise DatasetError("The annotations list no image.")
    return Dataset(name, split, images, lambda: content.truths, content.keys_by_id)


def _open_folder(root: Path, split: str | None, annotations: Path | None) -> Dataset:
    if split is not None:
        raise UsageError("--split makes no sense with --dataset folder; name the folder of the split as --root.")
    path = annotations or _find_json(root)
    if path is not None:
        folder = root / "images" if (root / "images").is_dir() else root
        return _coco_dataset("folder", None, read_coco(path), folder)
    paths = {each.relative_to(root).as_posix(): each for each in find_pictures(root, _refuse)}
    if not paths:
        raise DatasetError(f"No picture in {root} or the folders below it.")
    images = tuple(DatasetImage(key, paths[key]) for key in sorted(paths))
    return Dataset("folder", None, images, partial(_read_xml_beside, images, root))


def _refuse(error: OSError) -> None:
    """Raise what keeps a folder from being listed: without its pictures a figure would be of others."""
    raise error


def _find_json(root: Path) -> Path | None:
    found = [*sorted(root.glob("*.json")), *sorted((root / "annotations").glob("*.json"))]
    found = [each for each in found if not is_part_of_a_run(each)]
    if len(found) > 1:
        names = ", ".join(each.name for each in found[:10])
        raise DatasetError(f"{root} holds several json files ({names}); name one with --annotations.")
    return found[0] if found else None


def _read_xml_beside(images: tuple[DatasetImage, ...], root: Path) -> dict[str, GroundTruth]:
    if not any(image.path.with_suffix(".xml").is_file() for image in images):
        raise DatasetError(
            f"No annotations in {root}: put a VOC XML beside each picture or a COCO json into the folder, or name "
            "the json with --annotations."
        )
    stems: dict[Path, str] = {}
    for image in images:
        other = stems.setdefault(image.path.with_suffix(".xml"), image.key)
        if other != image.key:
            raise AnnotationError(f"{other} and {image.key} would share the annotation {Path(image.key).stem}.xml.")
    if alone := sorted(path for path in root.rglob("*.xml") if path not in stems):
        raise AnnotationError(f"{alone[0]} annotates no picture beside it, as do {len(alone) - 1} more; restore them.")
    return {image.key: read_voc(image.path.with_suffix(".xml"), image.key) for image in images}
