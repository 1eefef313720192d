from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest
from boxes_by_hand import coco_content, voc_xml, write_coco, write_voc

from lostreg.datasets import DATASETS, coco20k_ids, open_dataset
from lostreg.errors import AnnotationError, DatasetError, UsageError

PICTURES = {"000007": [("dog", (1, 1, 9, 9))], "000005": []}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


# VOC


def test_voc_keeps_the_order_of_the_split_and_needs_no_pictures(tmp_path):
    dataset = open_dataset("voc07", write_voc(tmp_path, PICTURES))
    assert dataset.split == "trainval"
    assert [image.key for image in dataset.images] == ["000007.jpg", "000005.jpg"]
    assert dataset.images[0].path == tmp_path / "VOC2007" / "JPEGImages" / "000007.jpg"
    assert [(key, truth.classes) for key, truth in dataset.truths().items()] == [
        ("000007.jpg", ("dog",)),
        ("000005.jpg", ()),
    ]


def test_the_root_may_be_the_year_itself(tmp_path):
    root = write_voc(tmp_path, PICTURES)
    assert open_dataset("voc07", root / "VOC2007").images == open_dataset("voc07", root).images


def test_voc12_is_voc07_in_another_folder(tmp_path):
    write_voc(tmp_path, PICTURES)
    (tmp_path / "VOC2007").rename(tmp_path / "VOC2012")
    assert len(open_dataset("voc12", tmp_path).images) == 2
    with pytest.raises(DatasetError, match="Expected VOC2007"):
        open_dataset("voc07", tmp_path)


def test_a_missing_or_damaged_annotation_names_its_file(tmp_path):
    root = write_voc(tmp_path, PICTURES)
    path = root / "VOC2007" / "Annotations" / "000005.xml"
    path.write_text(voc_xml("000006", []))
    with pytest.raises(AnnotationError, match=r"000005\.xml"):
        open_dataset("voc07", root).truths()
    path.unlink()
    with pytest.raises(AnnotationError, match=r"No annotation file at .*000005\.xml"):
        open_dataset("voc07", root).truths()


def test_an_annotation_whose_picture_is_gone_is_an_error(tmp_path):
    touch(tmp_path / "a.jpg")
    for stem in ("a", "b"):
        (tmp_path / f"{stem}.xml").write_text(voc_xml(stem, []))
    with pytest.raises(AnnotationError, match=r"b\.xml annotates no picture beside it"):
        open_dataset("folder", tmp_path).truths()


def test_a_run_in_its_dataset_is_no_annotation_of_it(tmp_path):
    touch(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(voc_xml("a", []))
    (tmp_path / "run.json").touch()
    assert list(open_dataset("folder", tmp_path).truths()) == ["a.jpg"]


def test_a_pipe_for_an_annotation_keeps_nobody_waiting(tmp_path):
    root = write_voc(tmp_path, PICTURES)
    path = root / "VOC2007" / "Annotations" / "000005.xml"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(AnnotationError, match=r"Cannot read .*000005\.xml: it is no regular file"):
        open_dataset("voc07", root).truths()


def test_a_root_that_the_system_refuses_is_a_sentence():
    with pytest.raises(DatasetError, match="Cannot read the dataset voc07: File name too long"):
        open_dataset("voc07", Path("x" * 5000))


def test_a_folder_that_cannot_be_listed_does_not_shrink_the_dataset(tmp_path, monkeypatch):
    for name in ("a.jpg", "closed/b.jpg"):
        touch(tmp_path / name)
        (tmp_path / name).with_suffix(".xml").write_text(voc_xml(Path(name).stem, []))
    assert len(open_dataset("folder", tmp_path).images) == 2
    real = os.scandir

    def closed(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(DatasetError, match=r"Cannot read the dataset folder: Permission denied .*closed"):
        open_dataset("folder", tmp_path)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", "lists no image"),
        ("000007\n000005 -1\n", "line 2: expected one image id"),  # VOC's lists per class
        ("../000007\n", "line 1: expected one image id"),
        ("000007\n000005\n000007\n", "line 3: 000007 is listed on line 1"),
        ("000007\n\n000005\n", "line 2: expected one image id"),
    ],
)
def test_damaged_splits_are_refused(tmp_path, lines, says):
    root = write_voc(tmp_path, PICTURES)
    (root / "VOC2007" / "ImageSets" / "Main" / "trainval.txt").write_text(lines)
    with pytest.raises(DatasetError, match=f"trainval.txt.*{says}"):
        open_dataset("voc07", root)


def test_an_unknown_split_shows_those_that_are_there(tmp_path):
    with pytest.raises(DatasetError, match=r"No split 'val' .* there are: trainval"):
        open_dataset("voc07", write_voc(tmp_path, PICTURES), "val")


def test_the_real_devkit(data_root):
    dataset = open_dataset("voc07", data_root / "voc07" / "VOCdevkit", "dev500")
    assert len(dataset.images) == 500
    assert all(image.path.is_file() for image in dataset.images)
    # All 5011 are listed although only the photographs of dev2000 are here.
    assert len(open_dataset("voc07", data_root / "voc07" / "VOCdevkit").images) == 5011


# COCO


@pytest.mark.parametrize("folder", ["val2017", "images/val2017", "images", "."])
def test_coco_finds_its_pictures_in_the_usual_places(tmp_path, folder):
    write_coco(tmp_path / "annotations" / "instances_val2017.json")
    touch(tmp_path / folder / "a.jpg")
    dataset = open_dataset("coco", tmp_path, "val2017")
    assert [image.key for image in dataset.images] == ["a.jpg", "b.jpg"]  # in the order of the ids 3 and 7
    assert dataset.images[0].path == tmp_path / folder / "a.jpg"
    assert dataset.keys_by_id == {3: "a.jpg", 7: "b.jpg"}
    assert list(dataset.truths()) == ["a.jpg", "b.jpg"]


def test_coco_takes_the_only_instances_file(tmp_path):
    write_coco(tmp_path / "annotations" / "instances_train2014.json")
    assert open_dataset("coco", tmp_path).split == "train2014"
    write_coco(tmp_path / "annotations" / "instances_val2014.json")
    with pytest.raises(DatasetError, match=r"instances_train2014\.json, instances_val2014\.json; name a --split"):
        open_dataset("coco", tmp_path)
    assert open_dataset("coco", tmp_path, "val2014").split == "val2014"
    other = write_coco(tmp_path / "other.json")
    assert len(open_dataset("coco", tmp_path, None, other).images) == 2


def test_coco128(data_root):
    dataset = open_dataset("coco", data_root / "coco128")
    assert len(dataset.images) == 128
    assert all(image.path.is_file() for image in dataset.images)


def test_coco20k_is_the_published_list(data_root):
    ids = coco20k_ids()
    lines = (data_root / "coco_20k_filenames.txt").read_text().split()
    assert sorted(lines) == [f"train2014/COCO_train2014_{image_id:012d}.jpg" for image_id in ids]


def test_coco20k_has_19817_ascending_ids():
    ids = coco20k_ids()
    assert len(ids) == 19_817  # lines of valeoai/LOST datasets/coco_20k_filenames.txt
    assert ids == sorted(set(ids))
    # sha256 of that file's numbers, sorted, one a line:
    #   sed 's/.*_0*//;s/.jpg//' coco_20k_filenames.txt | sort -n | sha256sum
    text = "".join(f"{image_id}\n" for image_id in ids)
    assert (
        hashlib.sha256(text.encode()).hexdigest() == "1a94264b453316d3ba68764f6f1e2032e599a5f32513b9f274079185841fb87a"
    )


def test_coco20k_takes_its_part_of_train2014(tmp_path):
    content = coco_content()
    ids = coco20k_ids()
    missing = max(ids) + 1
    content["images"] = [
        {"id": image_id, "file_name": f"COCO_train2014_{image_id:012d}.jpg", "width": 100, "height": 80}
        for image_id in [missing, *ids]
    ]
    content["annotations"] = [{"id": 1, "image_id": ids[5], "category_id": 1, "bbox": [1, 2, 3, 4]}]
    path = write_coco(tmp_path / "annotations" / "instances_train2014.json", content)
    dataset = open_dataset("coco20k", tmp_path)
    assert list(dataset.keys_by_id) == ids
    assert [image.key for image in dataset.images] == list(dataset.truths())
    assert len(dataset.truths()) == 19_817
    content["images"].pop()
    write_coco(path, content)
    with pytest.raises(DatasetError, match="lacks 1 of the 19817 images"):
        open_dataset("coco20k", tmp_path)


# Folders


def test_a_folder_with_xml_beside_the_pictures(tmp_path):
    for name in ("b.jpg", "sub/a.PNG"):
        touch(tmp_path / name)
    touch(tmp_path / "notes.txt")
    dataset = open_dataset("folder", tmp_path)
    assert [image.key for image in dataset.images] == ["b.jpg", "sub/a.PNG"]
    with pytest.raises(DatasetError, match="put a VOC XML beside each picture"):
        dataset.truths()
    (tmp_path / "b.xml").write_text(voc_xml("b", [("dog", (1, 1, 9, 9))]))
    with pytest.raises(AnnotationError, match=r"a\.xml"):
        dataset.truths()
    (tmp_path / "sub" / "a.xml").write_text(voc_xml("a", []))
    assert list(dataset.truths()) == ["b.jpg", "sub/a.PNG"]


def test_two_pictures_cannot_share_an_annotation(tmp_path):
    for name in ("a.jpg", "a.png"):
        touch(tmp_path / name)
    (tmp_path / "a.xml").write_text(voc_xml("a", []))
    with pytest.raises(AnnotationError, match=re.escape("a.jpg and a.png would share the annotation a.xml")):
        open_dataset("folder", tmp_path).truths()


@pytest.mark.parametrize("where", ["labels.json", "annotations/labels.json"])
def test_a_folder_with_a_coco_json(tmp_path, where):
    write_coco(tmp_path / where)
    dataset = open_dataset("folder", tmp_path)
    assert [image.path for image in dataset.images] == [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    write_coco(tmp_path / "second.json")
    with pytest.raises(DatasetError, match="several json files"):
        open_dataset("folder", tmp_path)
    assert len(open_dataset("folder", tmp_path, None, tmp_path / "second.json").images) == 2


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="No picture in"):
        open_dataset("folder", tmp_path)


# Arguments


@pytest.mark.parametrize(
    ("name", "split", "annotations", "says"),
    [
        ("voc2007", None, None, f"must be one of {', '.join(DATASETS)}"),
        ("voc07", None, "x.json", "--annotations makes no sense"),
        ("coco20k", "val2014", None, "leave --split out"),
        ("folder", "val", None, "--split makes no sense"),
    ],
)
def test_arguments_that_make_no_sense(tmp_path, name, split, annotations, says):
    with pytest.raises(UsageError, match=says):
        open_dataset(name, tmp_path, split, annotations)


def test_the_root_must_be_a_folder(tmp_path):
    with pytest.raises(DatasetError, match="is not a folder"):
        open_dataset("voc07", tmp_path / "gone")


def test_annotations_without_pictures_are_refused(tmp_path):
    write_coco(tmp_path / "annotations" / "instances.json", {"images": [], "categories": [], "annotations": []})
    with pytest.raises(DatasetError, match="list no image"):
        open_dataset("coco", tmp_path)
