from __future__ import annotations

import copy
import json
import random
import re

import numpy as np
import pytest
from boxes_by_hand import coco_content, voc_xml, write_coco

from lostreg.annotations import read_coco, read_json, read_voc
from lostreg.annotations.truth import MOST_OUTSIDE
from lostreg.errors import AnnotationError

OBJECTS = [("dog", (10, 20, 30, 40)), ("cat", (1, 1, 100, 80), 1, 0), ("cat", (50, 60, 50, 60), 0, 1)]


def write_xml(tmp_path, text, stem="000005"):
    path = tmp_path / f"{stem}.xml"
    path.write_text(text)
    return path


# What good files give


def test_voc_boxes_lose_one_at_their_beginning(tmp_path):
    truth = read_voc(write_xml(tmp_path, voc_xml("000005", OBJECTS)))
    assert (truth.key, truth.width, truth.height) == ("000005.jpg", 100, 80)
    # LOST's datasets.py: xmin - 1, ymin - 1, xmax, ymax
    assert truth.boxes_xyxy.tolist() == [[9, 19, 30, 40], [0, 0, 100, 80], [49, 59, 50, 60]]
    assert truth.boxes_xyxy.dtype == np.float64
    assert truth.classes == ("dog", "cat", "cat")
    assert truth.difficult.tolist() == [False, True, False]
    assert truth.truncated.tolist() == [False, False, True]
    assert truth.easy.tolist() == [True, False, False]


def test_coco_boxes_are_rounded_and_crowds_kept_apart(tmp_path):
    content = read_coco(write_coco(tmp_path / "instances.json"))
    assert content.keys_by_id == {3: "a.jpg", 7: "b.jpg"}
    truth = content.truths["b.jpg"]
    # int(round()) of 10.5, 20.25, 40.5, 60.75: Python rounds halves to even
    assert truth.boxes_xyxy.tolist() == [[10, 20, 40, 61], [1, 2, 4, 6]]
    assert truth.exact_boxes_xyxy.tolist() == [[10.5, 20.25, 40.5, 60.75], [1, 2, 4, 6]]
    assert truth.crowd_boxes_xyxy.tolist() == [[0, 0, 100, 80]]
    assert truth.classes == ("dog", "cat")
    assert content.truths["a.jpg"].boxes_xyxy.shape == (0, 4)


def test_coco_rounds_as_python_does(tmp_path):
    rng = random.Random(0)
    content = coco_content()
    boxes = [
        [rng.randrange(200) / 4 for _ in range(2)] + [rng.randrange(100) / 4 for _ in range(2)] for _ in range(500)
    ]
    content["annotations"] = [
        {"id": number, "image_id": 7, "category_id": 1, "bbox": box, "iscrowd": 0} for number, box in enumerate(boxes)
    ]
    truth = read_coco(write_coco(tmp_path / "instances.json", content)).truths["b.jpg"]
    assert truth.boxes_xyxy.tolist() == [[round(x), round(y), round(x + w), round(y + h)] for x, y, w, h in boxes]


def test_the_official_files_load(data_root):
    # The evaluation data's README: 15,662 objects, of which 3,054 difficult; 939 annotations, of which 10 crowd.
    folder = data_root / "voc07" / "VOCdevkit" / "VOC2007" / "Annotations"
    truths = [read_voc(path) for path in sorted(folder.glob("*.xml"))]
    assert len(truths) == 5011
    assert sum(len(truth.classes) for truth in truths) == 15_662
    assert sum(int(truth.difficult.sum()) for truth in truths) == 3_054
    coco = read_coco(data_root / "coco128" / "annotations" / "instances.json").truths
    assert sum(len(truth.classes) for truth in coco.values()) == 929
    assert sum(len(truth.crowd_boxes_xyxy) for truth in coco.values()) == 10
    assert [key for key, truth in coco.items() if not truth.classes] == ["000000000250.jpg", "000000000508.jpg"]


# What is accepted although it deviates


def test_voc_accepts_what_its_documentation_says(tmp_path):
    text = voc_xml("000005", [("dog", (0, 0, 101.5, 82))])
    text = text.replace("<difficult>0</difficult>", "").replace("<truncated>0</truncated>", "")
    part = "<part><name>head</name><bndbox><xmin>x</xmin></bndbox></part></object>"
    truth = read_voc(write_xml(tmp_path, text.replace("</object>", part)))
    assert truth.boxes_xyxy.tolist() == [[-1, -1, 101.5, 82]]
    assert truth.easy.all()
    assert read_voc(write_xml(tmp_path, voc_xml("000005", []))).boxes_xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    "segmentation",
    [[[1, 2, 3, 4]], {"size": [80, 100], "counts": "garbage\u00ff"}, {"size": [1, 1], "counts": "PPYo0"}, None, []],
    ids=["2 points", "garbage run lengths", "run lengths of another size", "null", "empty"],
)
def test_segmentations_cannot_change_a_figure(tmp_path, segmentation):
    content = coco_content()
    content["annotations"][0] |= {"segmentation": segmentation, "area": -1}
    truth = read_coco(write_coco(tmp_path / "instances.json", content)).truths["b.jpg"]
    assert truth.boxes_xyxy.tolist() == [[10, 20, 40, 61], [1, 2, 4, 6]]


def test_coco_accepts_what_its_documentation_says(tmp_path):
    content = coco_content()
    content["annotations"][0] |= {"id": 0, "bbox": [-2, 0, 104, 0]}  # id 0, zero height, 2 pixels outside
    del content["annotations"][0]["iscrowd"]
    content["annotations"][2]["iscrowd"] = 1  # the other objects are crowds
    truth = read_coco(write_coco(tmp_path / "instances.json", content)).truths["b.jpg"]
    assert truth.boxes_xyxy.tolist() == [[-2, 0, 102, 0]]
    assert len(truth.crowd_boxes_xyxy) == 2


# What is refused


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("<xmin>10<", "<xmin>NaN<", "object 1: <xmin> must be a finite number"),
        ("<xmin>10<", "<xmin>1e400<", "object 1: <xmin> must be a finite number"),
        ("<xmin>10<", "<xmin>ten<", "object 1: <xmin> must be a number"),
        ("<xmin>10<", "<xmin>1_0<", "object 1: <xmin> must be a number"),
        ("<xmin>10<", "<xmin><", "object 1: <xmin> is empty"),
        ("<xmin>10<", "<xmin>31<", "object 1: the box must not end before it begins"),
        ("<xmax>100<", "<xmax>103<", "object 2: the box .* leaves its picture"),
        ("<xmin>10<", "<xmin>-2<", "object 1: the box .* leaves its picture"),
        ("<xmin>10</xmin>", "", "object 1: expected one <xmin>"),
        ("<xmin>10</xmin>", "<xmin>10</xmin><xmin>11</xmin>", "object 1: expected one <xmin> .* there are 2"),
        ("<name>dog</name>", "", "object 1: expected one <name>"),
        ("<difficult>1<", "<difficult>2<", "object 2: <difficult> must be 0 or 1"),
        ("<width>100<", "<width>0<", "the width must be a whole number from 1"),
        ("<width>100<", "<width>99.5<", "the width must be a whole number from 1"),
        ("000005.jpg", "000006.jpg", "the annotation of '000006.jpg'"),
        ("annotation>", "annotations>", "its root is <annotations>"),
        ("</annotation>", "", "not a VOC annotation"),
        ("<annotation>", '<?xml version="1.0" encoding="klingon"?><annotation>', "not a VOC annotation"),
    ],
)
def test_damaged_voc_is_refused_by_name(tmp_path, old, new, says):
    good = voc_xml("000005", OBJECTS)
    assert old in good
    with pytest.raises(AnnotationError, match=rf"000005\.xml.*{says}"):
        read_voc(write_xml(tmp_path, good.replace(old, new)))


ENTITY_BOMB = (
    '<!DOCTYPE annotation [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    + "]><annotation><filename>&a9;</filename></annotation>"
)
EXTERNAL = '<!DOCTYPE annotation [<!ENTITY e SYSTEM "file:///etc/hostname">]><annotation>&e;</annotation>'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENTITY_BOMB, "declares a document type"),
        (EXTERNAL, "declares a document type"),
        ("<annotation>" + "<a>" * 200_000 + "</a>" * 200_000 + "</annotation>", "expected one <filename>"),
        ("<a>" * 200_000, "not a VOC annotation"),
        ("", "not a VOC annotation"),
    ],
    ids=["entity bomb", "external entity", "deep", "deep and cut", "empty"],
)
def test_hostile_xml_is_refused(tmp_path, text, says):
    with pytest.raises(AnnotationError, match=rf"000005\.xml.*{says}"):
        read_voc(write_xml(tmp_path, text))


def test_a_utf16_bomb_is_refused_too(tmp_path):
    path = tmp_path / "000005.xml"
    path.write_bytes(ENTITY_BOMB.encode("utf-16"))
    with pytest.raises(AnnotationError, match="declares a document type"):
        read_voc(path)


def test_missing_files_are_named(tmp_path):
    for read, name in ((read_voc, "gone.xml"), (read_coco, "gone.json")):
        with pytest.raises(AnnotationError, match=name):
            read(tmp_path / name)
        (tmp_path / name).mkdir()
        with pytest.raises(AnnotationError, match=f"Cannot read .*{name}"):
            read(tmp_path / name)


BAD_ANNOTATIONS = [
    ({"bbox": [1, 2, 3]}, "bbox must be"),
    ({"bbox": [1, 2, 3, "4"]}, "bbox must be"),
    ({"bbox": [1, 2, 3, True]}, "bbox must be"),
    ({"bbox": [1, 2, 3, 1e300]}, "bbox must be"),
    ({"bbox": None}, "bbox must be"),
    ({"bbox": [10, 10, -3, 4]}, "must not be negative"),
    ({"bbox": [10, 10, 93, 4]}, "leaves its picture"),
    ({"bbox": [-2.5, 10, 3, 4]}, "leaves its picture"),
    ({"bbox": [500, 10, 3, 4]}, "leaves its picture"),
    ({"image_id": 8}, "none of the images"),
    ({"image_id": "7"}, "none of the images"),
    ({"category_id": 9}, "none of the categories"),
    ({"category_id": [1]}, "none of the categories"),
    ({"iscrowd": 2}, "iscrowd must be 0 or 1"),
    ({"iscrowd": False}, "iscrowd must be 0 or 1"),
    ({"iscrowd": None}, "iscrowd must be 0 or 1"),
]


@pytest.mark.parametrize(("change", "says"), BAD_ANNOTATIONS)
def test_damaged_coco_annotations_are_refused_by_name(tmp_path, change, says):
    content = coco_content()
    content["annotations"][2] |= change
    with pytest.raises(AnnotationError, match=rf"instances\.json, annotation 13: .*{says}"):
        read_coco(write_coco(tmp_path / "instances.json", content))


@pytest.mark.parametrize("kind", ["images", "categories", "annotations"])
@pytest.mark.parametrize(
    ("bad_id", "says"),
    [
        ("1", "must be a whole number"),
        (1.0, "must be a whole number"),
        (True, "must be a whole number"),
        (None, "None"),
    ],
)
def test_ids_must_be_whole_numbers(tmp_path, kind, bad_id, says):
    content = coco_content()
    content[kind][0]["id"] = bad_id
    with pytest.raises(AnnotationError, match=rf"instances\.json.*{says}"):
        read_coco(write_coco(tmp_path / "instances.json", content))


@pytest.mark.parametrize("kind", ["images", "categories", "annotations"])
def test_ids_must_be_unique(tmp_path, kind):
    content = coco_content()
    content[kind][1]["id"] = content[kind][0]["id"]
    with pytest.raises(AnnotationError, match=rf"instances\.json, \w+ {content[kind][0]['id']}: its id is taken"):
        read_coco(write_coco(tmp_path / "instances.json", content))


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../secret.jpg", "a/../../b.jpg", "", "nul\0.jpg", "\ud800.jpg", 5, None, "b.jpg"]
)
def test_file_names_stay_below_the_folder_and_are_unique(tmp_path, name):
    content = coco_content()
    content["images"][1]["file_name"] = name
    with pytest.raises(AnnotationError, match=r"instances\.json, image 3: "):
        read_coco(write_coco(tmp_path / "instances.json", content))


@pytest.mark.parametrize("width", [0, -5, 1.5, "60", None, 2**31])
def test_picture_sizes_are_checked(tmp_path, width):
    content = coco_content()
    content["images"][1]["width"] = width
    with pytest.raises(AnnotationError, match=r"instances\.json, image 3: width and height"):
        read_coco(write_coco(tmp_path / "instances.json", content))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"images": NaN}', "holds NaN"),
        ('{"images": -Infinity}', "holds -Infinity"),
        ('{"images": [], "images": []}', "names 'images' twice"),
        ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
        ("{", "not a JSON file"),
        ("", "not a JSON file"),
        ("1" * 5_000, "not a JSON file"),
        ("[]", "one JSON object"),
        ("{}", "a list 'images'"),
        ('{"images": {}, "categories": [], "annotations": []}', "a list 'images'"),
        ('{"images": [5], "categories": [], "annotations": []}', "entry 0 of 'images'"),
    ],
)
def test_files_that_are_no_instances_file_are_refused(tmp_path, text, says):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=rf"instances\.json.*{re.escape(says)}"):
        read_coco(path)


def test_json_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('{"ä": 1}'.encode("latin-1"))
    with pytest.raises(AnnotationError, match="not a JSON file"):
        read_json(path)
    path.write_bytes(b"\xef\xbb\xbf[1]")  # a byte order mark, which Windows editors write
    assert read_json(path) == [1]


# 2,000 mutants with fixed seeds

HOSTILE = [
    None, True, -1, 0, 1, 2, 1.0, 0.5, -0.5, 1e308, 2**63, 2**200, "", "0", "x", "\ud800", "\0", [], {},
    [0], [[]], [1, 2, 3, 4], [1, 2, 3, 4, 5], [0, 0, -1, 5], [0, 0, 5, 1e300], {"a": 1}, "../x.jpg", 99999,
]  # fmt: skip


def check_truth(truth):
    """Hold what an accepted mutant gives against the documented rules."""
    boxes = np.vstack([truth.exact_boxes_xyxy, truth.crowd_boxes_xyxy])
    assert np.isfinite(boxes).all()
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes[:, :2] >= -MOST_OUTSIDE).all()
    assert (boxes[:, 2:] <= np.array([truth.width, truth.height]) + MOST_OUTSIDE).all()
    assert len(truth.boxes_xyxy) == len(truth.classes) == len(truth.difficult) == len(truth.truncated)


def mutate_bytes(data, rng):
    """Cut, flip, insert or double some bytes."""
    at = rng.randrange(len(data))
    match rng.randrange(4):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
        case 2:
            return data[:at] + bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9))) + data[at:]
        case _:
            return data[:at] + data[at : at + rng.randrange(1, 60)] + data[at:]


def run_mutants(read, path, mutants):
    """Read every mutant; return how many were refused. Anything but AnnotationError fails the test."""
    refused = 0
    for data, record in mutants:
        path.write_bytes(data)
        try:
            truths = read(path)
        except AnnotationError as error:
            refused += 1
            assert path.name in str(error)  # noqa: PT017
            assert re.search(record, str(error))  # noqa: PT017
        else:
            for truth in truths:
                check_truth(truth)
    return refused


def test_500_voc_files_with_mutated_bytes(tmp_path):
    rng, good = random.Random(1), voc_xml("000005", OBJECTS).encode()
    mutants = [(mutate_bytes(good, rng), "") for _ in range(500)]
    assert 250 < run_mutants(lambda path: [read_voc(path)], tmp_path / "000005.xml", mutants) < 500


def test_500_voc_files_with_hostile_values(tmp_path):
    rng, mutants = random.Random(2), []
    for _ in range(500):
        objects = [list(each) for each in OBJECTS]
        number = rng.randrange(3)
        box = list(objects[number][1])
        value = rng.choice([*HOSTILE, 101, 103, "1e999", "nan", "-inf", "<b/>"])
        box[rng.randrange(4)] = "" if value in ("\ud800", "\0") else value
        objects[number][1] = box
        mutants.append((voc_xml("000005", objects).encode(), f"object {number + 1}"))
    assert 250 < run_mutants(lambda path: [read_voc(path)], tmp_path / "000005.xml", mutants) < 500


def test_500_coco_files_with_mutated_bytes(tmp_path):
    rng, good = random.Random(3), json.dumps(coco_content()).encode()
    mutants = [(mutate_bytes(good, rng), "") for _ in range(500)]
    assert 250 < run_mutants(lambda path: read_coco(path).truths.values(), tmp_path / "i.json", mutants) < 500


def test_500_coco_files_with_hostile_values(tmp_path):
    rng, mutants = random.Random(4), []
    for _ in range(500):
        content = copy.deepcopy(coco_content())
        kind = rng.choice(["annotations", "annotations", "images", "categories"])
        record = rng.choice(content[kind])
        name, record_id = rng.choice(list(record)), record["id"]
        if rng.random() < 0.15:
            del record[name]
        else:
            record[name] = rng.choice(HOSTILE)
        # A changed id or size can also surface in the records that depend on it.
        own = f"{kind.removesuffix('s').replace('categorie', 'category')} {record_id}"
        expected = ", (image|category|annotation) " if name in ("id", "width", "height") else own
        # 1e999 reads as infinity without being written as one, which json.dumps cannot do.
        mutants.append((json.dumps(content).replace("1e+308", "1e999").encode(), expected))
    assert 250 < run_mutants(lambda path: read_coco(path).truths.values(), tmp_path / "i.json", mutants) < 500
