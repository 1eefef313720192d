"""From pictures to a head: the stages of a fit, in order, each timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lostreg import __version__
from lostreg.discover import Discoverer
from lostreg.errors import FeatureError, ImageError, UsageError
from lostreg.fit import train_scorer
from lostreg.fit.box_targets import box_target
from lostreg.fit.cache import FeatureCache, Picture
from lostreg.fit.composites import Composer
from lostreg.fit.extract import Extractor, cache_settings, extract_all
from lostreg.fit.holdout import Known, held_out_report
from lostreg.fit.logistic import Round, fit_logistic, sample_patches
from lostreg.fit.parts import check_enough, held_out_count, split, spread
from lostreg.fit.targets import Target, composite_target, photograph_target
from lostreg.fit.train import Losses, train
from lostreg.heads import Head, HeadInfo, Kind, make_head
from lostreg.heads.head import VOTE_SHAPE, Net, read_tokens
from lostreg.heads.nets import LogisticNet, TwoStageNet, VoteNet
from lostreg.heads.scorer import BoxScorer
from lostreg.images import Photograph
from lostreg.progress import Progress
from lostreg.regions import Map
from lostreg.sources import ImageItem

MAX_COMPOSITES = 1600
"""Made where their number is not given; of few photographs, two for each."""

MAX_PHOTOGRAPHS = 800
"""So many photographs at most, evenly spread, are pictures that the vote net learns from; the others lend objects to
composites. Pseudo-boxes merge neighbours as head consensus does; known boxes, twice as many, teach otherwise."""

EPOCHS = 6

Fail = Callable[[ImageItem, ImageError | FeatureError], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class FitPlan:
    """What a fit is asked for; a head depends on all of it.

    Attributes:
        kind: of head.
        seed: of everything that is random.
        epochs: of the vote net.
        composites: how many are made; ``None`` for two per photograph, at most :data:`MAX_COMPOSITES`.
    """

    kind: Kind = "vote"
    seed: int = 0
    epochs: int = EPOCHS
    composites: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that make no sense."""
        for option, value, least in (
            ("--seed", self.seed, 0),
            ("--epochs", self.epochs, 1),
            ("--composites", self.composites, 0),
        ):
            if value is not None and value < least:
                raise UsageError(f"{option} must be at least {least}, but it is {value}.")

    def count_composites(self, photographs: int) -> int:
        """Return how many composites are made for so many photographs."""
        return min(MAX_COMPOSITES, 2 * photographs) if self.composites is None else self.composites


@dataclass
class Fit:
    """A fit while it runs, and what came out of it.

    Attributes:
        discoverer: the ViT.
        cache: where features are kept.
        plan: what is asked for.
        quiet: no progress.
        stages: wall and processor seconds by stage.
        rounds: of the logistic head.
        losses: of the vote net, by epoch.
        scorer_losses: of the box scorer, by epoch.
        held_out: see :func:`lostreg.fit.holdout.held_out_report`.
        counts: of pictures, by what became of them.
    """

    discoverer: Discoverer
    cache: FeatureCache
    plan: FitPlan
    quiet: bool = False
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)
    losses: list[Losses] = field(default_factory=list)
    scorer_losses: list[float] = field(default_factory=list)
    held_out: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def run(
        self, items: Iterable[ImageItem], total: int | None, fail: Fail, say: Say, *, upright: bool = True
    ) -> tuple[Head, bytes]:
        """Fit a head.

        Args:
            items: the pictures.
            total: how many they are, if that is known.
            fail: called for every picture that cannot be used.
            say: called with the name of each stage that begins.
            upright: decode into the displayed frame; else into the stored one.

        Returns:
            The head and the content of its file.

        Raises:
            UsageError: there are too few pictures, or nothing stands out in them.
        """
        extractor = Extractor(self.discoverer, self.cache)
        say("features")
        with self._stage("features"), Progress(total, quiet=self.quiet) as progress:
            pictures = extract_all(extractor, items, progress, fail, upright=upright)
        self.counts |= {"listed": progress.count, "failed": progress.failed, "distinct": len(pictures)}
        check_enough(pictures)
        pictures, held_out = split(pictures, self.plan.seed)
        say("logistic head")
        with self._stage("logistic"):
            tokens, labels = sample_patches(pictures, self.cache, self.discoverer.backbone.device)
            net: Net
            net, self.rounds = fit_logistic(tokens, labels)
            del tokens, labels
        known = [Known(each) for each in held_out]
        self.counts |= {"fitted": len(pictures), "held_out": len(held_out), "composites": 0}
        if self.plan.kind == "vote":
            net, of_composites = self._fit_two_stages(extractor, pictures, net, say)
            known += of_composites
        with self._stage("held out"):
            self.held_out = held_out_report(net, known, self.cache.tokens)
        return make_head(self._info(net), net)

    def _fit_two_stages(
        self, extractor: Extractor, pictures: Sequence[Picture], logistic: LogisticNet, say: Say
    ) -> tuple[Net, list[Known]]:
        """Fit the vote net and the box scorer; return both and the composites that were held out."""
        with self._stage("targets"):
            logits = [self._logit(logistic, each) for each in pictures]
            learnt = [
                (pictures[i], photograph_target(pictures[i], logits[i])) for i in spread(len(pictures), MAX_PHOTOGRAPHS)
            ]
        say("composites")
        with self._stage("composites"):
            composer = Composer(pictures, logits, self._descriptors(pictures), self.cache.rgb)
            made = list(self._composites(extractor, composer, logistic, len(pictures)))
        count = held_out_count(len(made))
        self.counts |= {
            "photographs_in_training": len(learnt),
            "composites": len(made) - count,
            "composites_held_out": count,
        }
        learnt += [(known.picture, target) for target, known in made[count:]]
        say("vote net")
        votes = self._fit_votes([target for _, target in learnt])
        say("box scorer")
        scorer = self._fit_scorer(learnt, votes)
        return TwoStageNet(votes, scorer), [known for _, known in made[:count]]

    def _fit_votes(self, targets: Sequence[Target]) -> VoteNet:
        total = self.plan.epochs * len(targets)
        with self._stage("training"), Progress(total, quiet=self.quiet) as progress:
            net, self.losses = train(
                targets,
                self.cache.tokens,
                seed=self.plan.seed,
                epochs=self.plan.epochs,
                device=self.discoverer.backbone.device,
                advance=progress.advance,
            )
        return net

    def _fit_scorer(self, learnt: Sequence[tuple[Picture, Target]], votes: VoteNet) -> BoxScorer:
        """Fit on the boxes that the vote net's logits propose, as the scorer will read them later."""
        with self._stage("box scorer"):
            drawn = (
                box_target(picture, self._logit(votes, picture), target, np.random.default_rng((self.plan.seed, i)))
                for i, (picture, target) in enumerate(learnt)
            )
            targets = [each for each in drawn if each is not None]
            self.counts["pictures_of_box_scorer"] = len(targets)
            with Progress(train_scorer.EPOCHS * len(targets), quiet=self.quiet) as progress:
                net, self.scorer_losses = train_scorer.train_scorer(
                    targets,
                    self.cache.tokens,
                    dim=votes.mean.numel(),
                    seed=self.plan.seed,
                    device=self.discoverer.backbone.device,
                    advance=progress.advance,
                )
        return net

    def _composites(
        self, extractor: Extractor, composer: Composer, logistic: LogisticNet, photographs: int
    ) -> Iterator[tuple[Target, Known]]:
        count = self.plan.count_composites(photographs)
        with Progress(count, quiet=self.quiet) as progress:
            for index in range(count):
                made = composer.make((self.plan.seed, index))
                if made is not None:
                    picture = extractor(Photograph(made.rgb), keep_rgb=False)
                    target = composite_target(picture.key, made.owner, made.boxes, self._logit(logistic, picture))
                    yield target, Known(picture, made.boxes)
                progress.advance(failed=made is None)

    def _logit(self, net: LogisticNet | VoteNet, picture: Picture) -> Map:
        tokens = self.cache.tokens(picture.key).to(self.discoverer.backbone.device)
        return np.asarray(read_tokens(net, tokens).logit.cpu().numpy().reshape(picture.frame.grid_hw))

    def _descriptors(self, pictures: Sequence[Picture]) -> NDArray[np.float32]:
        """Return one unit vector per picture ``(n, D)``: its mean token, the mean of all taken off."""
        means = torch.stack([self.cache.tokens(each.key).float().mean(dim=(0, 1)) for each in pictures])
        return torch.nn.functional.normalize(means - means.mean(dim=0), dim=1).numpy()

    def _info(self, net: Net) -> HeadInfo:
        discoverer = self.discoverer
        return HeadInfo(
            kind=self.plan.kind,
            model=discoverer.weights.entry.name,
            weights_sha256=discoverer.weights.sha256,
            layer=discoverer.backbone.block_index(discoverer.layer),
            dim=int(net.weight.numel() if isinstance(net, LogisticNet) else net.votes.mean.numel()),
            registers=discoverer.registers.identity,
            net={} if isinstance(net, LogisticNet) else VOTE_SHAPE,
            provenance={
                "lostreg": __version__,
                "features": cache_settings(discoverer),
                **asdict(self.plan),
                "counts": self.counts,
                "held_out": self.held_out,
            },
        )

    def to_json(self) -> dict[str, Any]:
        """Return what happened, JSON-ready."""
        return {
            "rounds": [asdict(each) for each in self.rounds],
            "losses": [asdict(each) for each in self.losses],
            "scorer_losses": self.scorer_losses,
            "seconds": self.stages,
            "threads": torch.get_num_threads(),
            "device": str(self.discoverer.backbone.device),
        }

    def curves(self) -> tuple[dict[str, list[float]], str]:
        """Return the lines of the loss picture, and what they are counted by."""
        if self.plan.kind == "logistic":
            return {
                "loss": [each.loss for each in self.rounds],
                "labels changed": [each.changed for each in self.rounds],
            }, "round"
        return {
            "foreground": [each.foreground for each in self.losses],
            "1 - IoU of boxes": [each.box for each in self.losses],
            "quality": [each.quality for each in self.losses],
        }, "epoch"

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        wall, processor = time.monotonic(), time.process_time()
        yield
        self.stages[name] = {
            "wall": round(time.monotonic() - wall, 1),
            "processor": round(time.process_time() - processor, 1),
        }
