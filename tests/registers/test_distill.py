"""Distillation on small random ViTs: losses, what trains, one result per seed, stopping and going on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_vits import small_backbone, small_pictures, weights_of
from support import small_disk

from lostreg.errors import FeatureError, ImageError, ModelError, RunError, UsageError
from lostreg.preprocess import prepare
from lostreg.registers.adapter import read_adapter
from lostreg.registers.added import trainable
from lostreg.registers.distill import Distillation, DistillSettings, distill, run
from lostreg.registers.distill.loss import attention_distance, distance, token_distance
from lostreg.registers.distill.student import Lesson, Student, learning_rate
from lostreg.registers.distill.teacher import Teacher
from lostreg.registers.views import choose_views, extract_over_views
from lostreg.settings import InputSettings
from lostreg.sources import ImageItem

SETTINGS = DistillSettings(registers=2, views=2, epochs=3, batch_size=2)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return small_pictures(tmp_path_factory.mktemp("pictures"))


def plan(folder, items, settings=SETTINGS, **options):
    backbone = small_backbone()
    return Distillation(backbone, weights_of(backbone), items, folder, settings, InputSettings(), quiet=True, **options)


def stop_after(calls):
    """Return a ``stopped`` that says yes after so many calls."""
    asked = iter(range(calls))
    return lambda: next(asked, None) is None


def tensors(folder):
    return read_adapter(folder / "adapter.safetensors").tensors


def test_the_loss_is_that_of_the_paper():
    draw = np.random.default_rng(0)
    one, other = draw.normal(size=(2, 2, 5, 7))
    cosines = [
        a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(one.reshape(10, 7), other.reshape(10, 7), strict=True)
    ]
    expected = 1 - np.mean(cosines) + np.mean((one - other) ** 2)
    assert token_distance(torch.tensor(one), torch.tensor(other)).item() == pytest.approx(expected)
    assert token_distance(torch.tensor(one), torch.tensor(one)).item() == pytest.approx(0, abs=1e-9)


def test_attention_is_compared_as_a_distribution_over_the_patches():
    draw = np.random.default_rng(1)
    one, other = draw.uniform(size=(2, 2, 3, 7))
    p, q = (rows / rows.sum(axis=-1, keepdims=True) for rows in (other, one))
    expected = (p * np.log(p / q)).sum(axis=-1).mean()
    assert attention_distance(torch.tensor(one), torch.tensor(other)).item() == pytest.approx(expected)
    assert attention_distance(torch.tensor(0.3 * other), torch.tensor(other)).item() == pytest.approx(0, abs=1e-9)


def test_the_distances_of_the_parts_are_added():
    one, other = torch.randn(2, 1, 4, 3, generator=torch.Generator().manual_seed(0))
    alone = token_distance(one, other)
    torch.testing.assert_close(distance({"x": one, "k": one, "v": one}, {"x": other, "k": other}), 2 * alone)


def test_the_rate_rises_over_a_tenth_of_the_steps_and_then_falls_twentyfold():
    rates = [learning_rate(step, 100, 1e-4) for step in range(100)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[9] <= 1e-4
    assert rates[99] == pytest.approx(5e-6)
    ratios = [rates[step + 1] / rates[step] for step in range(10, 99)]
    assert ratios == pytest.approx([20 ** (-1 / 99)] * 89)
    assert learning_rate(0, 1, 1e-4) == 1e-4


def test_the_teacher_answers_with_the_mean_over_views_and_remembers(tmp_path, items):
    backbone = small_backbone()
    parts = ("x", "v", "attention")
    inputs, frame = prepare(items[0].read(), backbone.spec, InputSettings())
    teacher = Teacher(backbone, "a" * 64, 3, parts, tmp_path)
    answer = teacher.targets(inputs, frame)
    (expected,) = extract_over_views(
        lambda moved: backbone.extract(moved, [frame], frozenset(parts)),
        inputs[None],
        choose_views(frame.grid_hw, 3),
        backbone.spec,
    )
    assert {name: tuple(values.shape) for name, values in answer.items()} == {
        "x": (12, 192),
        "v": (12, 192),
        "attention": (3, 12),
    }
    assert torch.equal(answer["v"], expected.tokens["v"].half())
    assert torch.equal(answer["attention"], expected.attention[0].half())
    backbone.extract = None  # a second answer needs no forward
    assert torch.equal(Teacher(backbone, "a" * 64, 3, parts, tmp_path).targets(inputs, frame)["x"], answer["x"])
    with pytest.raises(TypeError):  # another model, more views or other parts are another question
        Teacher(backbone, "b" * 64, 3, parts, tmp_path).targets(inputs, frame)


def test_answers_on_disk_are_bounded_and_a_damaged_one_is_asked_again(tmp_path, items):
    backbone = small_backbone()
    inputs, frame = prepare(items[0].read(), backbone.spec, InputSettings())
    bounded = Teacher(backbone, "a" * 64, 2, ("x",), tmp_path, max_bytes=100)
    answer = bounded.targets(inputs, frame)
    assert list(tmp_path.iterdir()) == []
    kept = Teacher(backbone, "a" * 64, 2, ("x",), tmp_path)
    kept.targets(inputs, frame)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    assert torch.equal(kept.targets(inputs, frame)["x"], answer["x"])


def test_a_step_moves_what_trains_and_nothing_else(tmp_path, items):
    backbone = small_backbone()
    before = {name: values.clone() for name, values in backbone.model.named_parameters()}
    student = Student(backbone, SETTINGS, steps=4)
    start = {name: values.detach().clone() for name, values in student.model.named_parameters()}
    teacher = Teacher(backbone, "a" * 64, 2, SETTINGS.targets, tmp_path)
    lessons = []
    for item in items[:2]:  # of two sizes
        inputs, frame = prepare(item.read(), backbone.spec, InputSettings())
        lessons.append(Lesson(inputs, teacher.targets(inputs, frame)))
    apart = [
        distance(student.answer(one.inputs[None]), {k: v[None].float() for k, v in one.targets.items()})
        for one in lessons
    ]
    assert student.learn(lessons) == pytest.approx(sum(each.item() for each in apart) / 2, rel=1e-5)
    moved = {name for name, values in student.model.named_parameters() if not torch.equal(values, start[name])}
    assert moved == trainable(student.model).keys()
    for name, values in backbone.model.named_parameters():
        assert torch.equal(values, before[name]), f"the teacher's {name} has moved"


def test_one_seed_gives_one_adapter_and_the_loss_falls(tmp_path, items):
    settings = replace(SETTINGS, epochs=12, learning_rate=1e-4)
    facts = distill(plan(tmp_path / "one", items, settings))
    distill(plan(tmp_path / "again", items, settings))
    distill(plan(tmp_path / "other", items, replace(settings, seed=1)))
    one, again, other = (tensors(tmp_path / name) for name in ("one", "again", "other"))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["reg_token"], other["reg_token"])
    assert facts["mean_loss_by_epoch"][-1] < 0.9 * facts["mean_loss_by_epoch"][0]
    assert len(facts["losses"]) == 12 * 3
    assert facts["pictures"] == {"used": 5, "failed": 0}
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "adapter.safetensors",
        "distill.json",
        "loss.png",
    ]
    assert json.loads((tmp_path / "one" / "distill.json").read_text()) == facts
    with Image.open(tmp_path / "one" / "loss.png") as curve:
        assert curve.format == "PNG"
    header = read_adapter(tmp_path / "one" / "adapter.safetensors")
    assert header.facts["identity"]["seed"] == 0
    assert header.facts["pictures"]["used"] == 5


def test_a_run_that_was_stopped_goes_on_to_the_same_adapter(tmp_path, items):
    distill(plan(tmp_path / "whole", items))
    facts, calls = {"state": "stopped"}, 0
    while facts["state"] == "stopped":
        facts = distill(plan(tmp_path / "parts", items, stopped=stop_after(len(items) + 2)))
        calls += 1
    assert calls >= 3
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    losses = [json.loads((tmp_path / name / "distill.json").read_text())["losses"] for name in ("whole", "parts")]
    assert losses[0] == losses[1]


def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path, items, monkeypatch):
    distill(plan(tmp_path / "whole", items))
    monkeypatch.setattr(run, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    learn, taken = Student.learn, []

    def killed(self, lessons):
        if len(taken) == 5:
            raise SystemExit
        taken.append(1)
        return learn(self, lessons)

    monkeypatch.setattr(Student, "learn", killed)
    with pytest.raises(SystemExit):
        distill(plan(tmp_path / "killed", items))
    monkeypatch.setattr(Student, "learn", learn)
    assert torch.load(tmp_path / "killed" / "checkpoint.pt", weights_only=True)["step"] == 5
    distill(plan(tmp_path / "killed", items))
    whole, resumed = tensors(tmp_path / "whole"), tensors(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_complete_run_is_not_run_again(tmp_path, items):
    facts = distill(plan(tmp_path / "run", items))
    assert distill(plan(tmp_path / "run", items, stopped=lambda: pytest.fail("it runs"))) == facts


def test_other_settings_are_refused_in_the_same_folder(tmp_path, items):
    distill(plan(tmp_path / "run", items, stopped=lambda: True))
    with pytest.raises(RunError, match=r"was made with another seed \(0, now 1\)"):
        distill(plan(tmp_path / "run", items, replace(SETTINGS, seed=1)))
    with pytest.raises(RunError, match="was made with another listed"):
        distill(plan(tmp_path / "run", items[:2]))
    (tmp_path / "run" / "distill.json").write_text("[]")
    with pytest.raises(RunError, match=r"distill.json is damaged; delete the folder"):
        distill(plan(tmp_path / "run", items))


def test_a_damaged_checkpoint_is_named(tmp_path, items):
    distill(plan(tmp_path / "run", items, stopped=stop_after(len(items) + 2)))
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"PK")
    with pytest.raises(RunError, match=r"checkpoint.pt is damaged \(.*\); delete it to start anew"):
        distill(plan(tmp_path / "run", items))


def test_a_full_disk_is_one_sentence(tmp_path, items):
    with small_disk(tmp_path / "disk", 100) as disk:
        with pytest.raises(
            RunError, match=r"Cannot write to .*run: No space left on device; free some space"
        ) as caught:
            distill(plan(disk / "run", items, targets=tmp_path / "targets"))
        assert caught.value.exit_code == 6
    with (
        small_disk(tmp_path / "other", 20) as disk,
        pytest.raises(RunError, match=r"Cannot keep the teacher's answers in .*: .*; free some space"),
    ):
        distill(plan(tmp_path / "run", items, targets=disk / "targets"))


def test_pictures_that_cannot_be_read_cost_only_themselves(tmp_path, items):
    bad = ImageItem("bad.png", "bad.png", ImageError("damaged", "bad.png is damaged."))
    failed = []
    facts = distill(
        plan(tmp_path / "run", [bad, *items], fail=lambda item, error: failed.append((item.key, error.reason)))
    )
    assert facts["pictures"] == {"used": 5, "failed": 1}
    assert failed == [("bad.png", "damaged")]
    with pytest.raises(ImageError, match="None of the 1 pictures can be used") as caught:
        distill(plan(tmp_path / "none", [bad]))
    assert caught.value.exit_code == 3


def test_models_that_cannot_be_distilled_are_refused_before_the_teacher_looks(tmp_path, items):
    made = plan(tmp_path / "run", items)
    made.backbone.class_token = False
    with pytest.raises(ModelError, match="small has no CLS token whose attention could be distilled"):
        distill(made)
    made.backbone.class_token = True
    made.backbone.model.reg_token = torch.nn.Parameter(torch.zeros(1, 4, 192))
    with pytest.raises(ModelError, match="was trained with 4 registers already"):
        distill(made)
    assert not (tmp_path / "run").exists()


def test_a_training_that_diverges_says_so(tmp_path, items, monkeypatch):
    monkeypatch.setattr(Student, "learn", lambda self, lessons: float("nan"))
    with pytest.raises(FeatureError, match="is not finite, so the distillation cannot go on"):
        distill(plan(tmp_path / "run", items))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"registers": 0}, "--registers-count must be at least 1, but it is 0"),
        ({"views": 0}, "--views must be"),
        ({"epochs": 0}, "--epochs must be"),
        ({"batch_size": 0}, "--batch-size must be"),
        ({"learning_rate": 0.0}, "--learning-rate must be above 0 and below 1, but it is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be"),
        ({"targets": ("x", "y")}, "--targets must be among q, k, v, x, attention, but it is 'y'|k, q, v, x, attention"),
        ({"targets": ()}, "it is empty"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        DistillSettings(**options)
