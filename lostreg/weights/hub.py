"""Weights from the Hugging Face hub: short timeouts, pinned to a commit, checked against the hub's sha256."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lostreg.errors import WeightsError
from lostreg.files import sha256_of

if TYPE_CHECKING:
    from huggingface_hub.file_download import HfFileMetadata

FILENAME = "model.safetensors"
TIMEOUT_SECONDS = 4.0


@dataclass(frozen=True)
class HubFile:
    """A file of the hub that lies in the local cache; ``revision`` is the commit it came from."""

    path: Path
    revision: str


def cached(repository: str, revision: str | None) -> HubFile | None:
    """Return the file if it is already here, without touching the network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, FILENAME, revision=revision)
    return _as_hub_file(Path(found)) if isinstance(found, str) else None


def fetch(repository: str, revision: str | None) -> HubFile:
    """Return the file, downloading it if needed.

    Raises:
        WeightsError: offline, unreachable, unknown, gated, out of disk space, or damaged on the way.
    """
    return cached(repository, revision) or _download(repository, revision)


def probe(repository: str, revision: str | None = None) -> HfFileMetadata:
    """Ask the hub about a repository's weights: one short request that decides whether it can be reached.

    Raises:
        WeightsError: offline, unreachable, unknown or gated.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise WeightsError(f"{repository} is not cached and HF_HUB_OFFLINE is set.")
    try:
        return get_hf_file_metadata(hf_hub_url(repository, FILENAME, revision=revision), timeout=TIMEOUT_SECONDS)
    except GatedRepoError as error:
        raise WeightsError(
            f"{repository} is gated: accept its licence at https://huggingface.co/{repository} and log in with "
            "`hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsError(f"The hub has no model {repository}@{revision or 'main'}.") from error
    except HfHubHTTPError as error:
        raise WeightsError(f"The hub refused {repository}: {_first_line(error)}.") from error
    except Exception as error:  # the hub's HTTP client has changed its exception classes between versions
        raise WeightsError(f"The model hub cannot be reached: {_first_line(error)}.") from error


def _download(repository: str, revision: str | None) -> HubFile:
    from huggingface_hub import hf_hub_download

    about = probe(repository, revision)
    size = "" if about.size is None else f" ({about.size / 1e6:.0f} MB, once)"
    print(f"lostreg: fetching the weights of {repository} from the model hub{size}", file=sys.stderr, flush=True)
    try:
        path = Path(hf_hub_download(repository, FILENAME, revision=about.commit_hash or revision))
    except Exception as error:  # network, disk or cache trouble, each with a class of its own
        raise WeightsError(f"The download of {repository} broke off: {_first_line(error)}.") from error
    _check(path, about.etag)
    return _as_hub_file(path)


def _check(path: Path, etag: str | None) -> None:
    """Compare with the sha256 that the hub announces for large files."""
    if etag is not None and len(etag) == 64 and sha256_of(path) != etag:
        real = path.resolve()
        path.unlink()
        real.unlink(missing_ok=True)
        raise WeightsError(f"{path.name} arrived damaged (wrong sha256) and was removed; try again.")


def _as_hub_file(path: Path) -> HubFile:
    return HubFile(path, revision=path.parent.name)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
