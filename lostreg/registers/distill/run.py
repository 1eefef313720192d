"""One distillation from pictures to an adapter file, which can be stopped at any time and goes on where it was.

On the CPU, with the same number of threads, a run that was killed and resumed gives the same adapter, bit for bit.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lostreg.backbone import Backbone
from lostreg.errors import FeatureError, ImageError, ModelError
from lostreg.preprocess import prepare
from lostreg.progress import Progress
from lostreg.registers.adapter import Adapter
from lostreg.registers.added import check_can_take_registers
from lostreg.registers.distill.folder import Course, DistillFolder
from lostreg.registers.distill.settings import DistillSettings
from lostreg.registers.distill.student import Lesson, Student
from lostreg.registers.distill.teacher import Teacher
from lostreg.settings import InputSettings, fingerprint
from lostreg.sources import ImageItem
from lostreg.weights import Weights

SECONDS_BETWEEN_CHECKPOINTS = 60.0


@dataclass
class Distillation:
    """A distillation to be run.

    Attributes:
        backbone: the stock model.
        weights: of it.
        items: the pictures, each read once per epoch.
        folder: what is written, and where an earlier call left off; see :mod:`lostreg.registers.distill.folder`.
        settings: of the distillation.
        inputs: how a picture becomes the ViT's input.
        targets: where the teacher's answers are kept for other runs; ``None`` is a folder that goes at the end.
        quiet: no progress.
        fail: called with each picture that cannot be used, and why.
        stopped: asked between steps; once true, a checkpoint is written and the run ends.
    """

    backbone: Backbone
    weights: Weights
    items: Sequence[ImageItem]
    folder: Path
    settings: DistillSettings
    inputs: InputSettings
    targets: Path | None = None
    quiet: bool = False
    fail: Callable[[ImageItem, ImageError | FeatureError], None] = lambda item, error: None
    stopped: Callable[[], bool] = lambda: False

    def identity(self) -> dict[str, Any]:
        """Return what the adapter depends on, JSON-ready."""
        keys = [item.key for item in self.items]
        return {
            "model": self.weights.entry.name,
            "weights_sha256": self.weights.sha256,
            "precision": self.backbone.precision,
            "max_side": self.inputs.max_side,
            "pad": self.inputs.pad,
            "listed": {"pictures": len(keys), "fingerprint": fingerprint(keys)},
            **self.settings.to_json(),
        }


def distill(plan: Distillation) -> dict[str, Any]:
    """Run a distillation, or what is left of it.

    Returns:
        The content of ``distill.json``; its ``state`` is ``complete``, or ``stopped`` if a stop was asked for.

    Raises:
        ImageError: no picture can be used, or one that could be can no longer be read.
        ModelError: the model cannot take registers, or has no CLS token whose attention could be distilled.
        RunError: the folder was made with other settings, is damaged, or cannot be written.
        FeatureError: the training diverged.
    """
    folder = DistillFolder(plan.folder, plan.identity())
    if folder.complete:
        _say(plan, f"{plan.folder} is complete already")
        return folder.facts
    _check_model(plan)
    folder.say(state="running")
    settings = plan.settings
    where = plan.targets or folder.targets
    teacher = Teacher(plan.backbone, plan.weights.sha256, settings.views, settings.targets, where)
    usable = _ask(plan, teacher)
    if plan.stopped():
        folder.say(state="stopped")
        return folder.facts
    student = Student(plan.backbone, settings, _steps_per_epoch(plan, usable) * settings.epochs)
    course = folder.resume(student)
    _train(plan, folder, student, teacher, usable, course)
    folder.say(**_told(plan, usable, course))
    if student.step_number < student.steps:
        folder.say(state="stopped")
        return folder.facts
    tensors = {name: values.detach() for name, values in student.trained.items()}
    facts = {name: folder.facts[name] for name in ("identity", "pictures", "mean_loss_by_epoch")}
    folder.finish(Adapter(tensors, plan.weights.entry.name, plan.weights.sha256, facts), settings.epochs)
    return folder.facts


def _check_model(plan: Distillation) -> None:
    check_can_take_registers(plan.backbone.model, plan.weights.entry.name)
    if "attention" in plan.settings.targets and not plan.backbone.class_token:
        raise ModelError(
            f"{plan.weights.entry.name} has no CLS token whose attention could be distilled; leave attention out of "
            "--targets."
        )


def _ask(plan: Distillation, teacher: Teacher) -> list[ImageItem]:
    """Let the teacher answer on every picture and return those that can be used."""
    usable: list[ImageItem] = []
    _say(plan, f"the teacher looks at {len(plan.items)} pictures, {plan.settings.views} views each")
    with Progress(len(plan.items), quiet=plan.quiet) as progress:
        for item in plan.items:
            if plan.stopped():
                return usable
            try:
                _lesson(plan, teacher, item)
            except (ImageError, FeatureError) as error:
                plan.fail(item, error)
                progress.advance(failed=True)
            else:
                usable.append(item)
                progress.advance()
    if not usable:
        raise ImageError("unreadable", f"None of the {len(plan.items)} pictures can be used, so nothing is distilled.")
    return usable


def _train(
    plan: Distillation,
    folder: DistillFolder,
    student: Student,
    teacher: Teacher,
    usable: Sequence[ImageItem],
    course: Course,
) -> None:
    """Take the steps that are left, and leave a checkpoint behind."""
    batches = [batch for epoch in range(plan.settings.epochs) for batch in _batches(len(usable), plan.settings, epoch)][
        student.step_number :
    ]
    left = sum(map(len, batches))
    _say(plan, f"the student learns from {len(usable)} pictures, {plan.settings.epochs} epochs; {left} to go")
    saved = time.monotonic()
    with Progress(left, quiet=plan.quiet) as progress:
        for batch in batches:
            if plan.stopped():
                break
            began = time.monotonic()
            course.losses.append(_step(plan, student, [_lesson(plan, teacher, usable[number]) for number in batch]))
            course.seconds += time.monotonic() - began
            for _ in batch:
                progress.advance()
            if time.monotonic() - saved >= SECONDS_BETWEEN_CHECKPOINTS:
                folder.save(student, course)
                saved = time.monotonic()
    folder.save(student, course)


def _step(plan: Distillation, student: Student, lessons: list[Lesson]) -> float:
    loss = student.learn(lessons)
    if not math.isfinite(loss):
        raise FeatureError(
            f"The loss of step {student.step_number} is not finite, so the distillation cannot go on; it ran in "
            f"{plan.backbone.precision}, try --precision fp32."
        )
    return loss


def _batches(count: int, settings: DistillSettings, epoch: int) -> list[list[int]]:
    """Return the pictures of each step of an epoch, in an order that depends on seed and epoch alone."""
    draw = torch.Generator().manual_seed(int(fingerprint(settings.seed, epoch), 16))
    order: list[int] = torch.randperm(count, generator=draw).tolist()
    return [order[start : start + settings.batch_size] for start in range(0, count, settings.batch_size)]


def _steps_per_epoch(plan: Distillation, usable: Sequence[ImageItem]) -> int:
    return math.ceil(len(usable) / plan.settings.batch_size)


def _lesson(plan: Distillation, teacher: Teacher, item: ImageItem) -> Lesson:
    photograph = item.read(needed_side=plan.inputs.max_side)
    inputs, frame = prepare(photograph, plan.backbone.spec, plan.inputs)
    return Lesson(inputs, teacher.targets(inputs, frame))


def _told(plan: Distillation, usable: Sequence[ImageItem], course: Course) -> dict[str, Any]:
    size = _steps_per_epoch(plan, usable)
    epochs = [course.losses[start : start + size] for start in range(0, len(course.losses), size)]
    return {
        "pictures": {"used": len(usable), "failed": len(plan.items) - len(usable)},
        "losses": course.losses,
        "mean_loss_by_epoch": [sum(each) / len(each) for each in epochs],
        "student_seconds": round(course.seconds, 1),
        "device": str(plan.backbone.device),
        "threads": torch.get_num_threads(),
    }


def _say(plan: Distillation, sentence: str) -> None:
    if not plan.quiet:
        print(f"lostreg: {sentence}", file=sys.stderr, flush=True)
