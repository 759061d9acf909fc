"""Models of the Hugging Face hub, fetched at a pinned revision: weights and tokenizer, never code."""

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from logging import CRITICAL
from pathlib import Path

from softprompt.config import BackboneSettings
from softprompt.errors import UserError, reason_of, shown
from softprompt.user_files import read_user_text

TOKENIZER = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "tokenizer.model",
)  # fmt: skip
ANSWER_SECONDS = 20.0


@dataclass(frozen=True)
class Weights:
    """A format of weights, in one file or in shards that an index names."""

    stem: str
    suffix: str

    @property
    def patterns(self) -> list[str]:
        whole = f"{self.stem}{self.suffix}"
        return [whole, f"{whole}.index.json", f"{self.stem}-*-of-*{self.suffix}"]

    def files(self, folder: Path) -> list[str]:
        """The names of all its files; empty where one is missing."""
        whole = f"{self.stem}{self.suffix}"
        if (folder / whole).is_file():
            return [whole]
        index = folder / f"{whole}.index.json"
        if not index.is_file():
            return []
        shards = self._shards(index)
        return [index.name, *shards] if all((folder / shard).is_file() for shard in shards) else []

    def _shards(self, index: Path) -> list[str]:
        """The files that an index names. Raises UserError where it is damaged, or names any that is no shard."""
        try:
            shards = sorted(set(json.loads(read_user_text(index, "an index of weights"))["weight_map"].values()))
            strangers = [shard for shard in shards if not fnmatchcase(shard, self.patterns[-1]) or "/" in shard]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{index}: not an index of weights ({reason_of(error)}); copy the model again") from None
        if strangers:
            raise UserError(f"{index}: names {shown(strangers[0])}; expected files beside it like {self.patterns[-1]}")
        return shards


SAFETENSORS, PICKLED = Weights("model", ".safetensors"), Weights("pytorch_model", ".bin")


def fetch_snapshot(name: str, settings: BackboneSettings) -> tuple[Path, list[str], str]:
    """The hub cache's folder of a model, the names of its files that belong to us, and source.json's content.

    A pinned commit that is whole in the cache needs no network, a branch or tag asks which commit it is now and takes
    the cached one where nobody answers. An interrupted download goes on where it was.
    Raises UserError where the model or its revision is not there, is not open to everybody, or cannot be reached.
    """
    pinned = re.fullmatch("[0-9a-f]{40}", settings.revision) is not None
    folder = cached_snapshot(settings) if pinned else None
    if folder is None:
        folder = _download(name, settings) if _answers(name, settings) else cached_snapshot(settings)
    if folder is None:
        raise UserError(
            f"{_what(name, settings)} at {settings.revision} is not in the hub's cache and the hub cannot be reached; "
            "connect to the network, or set HF_HOME to a folder that holds it"
        )
    files = [file for file in TOKENIZER if (folder / file).is_file()]
    source = {"repo": settings.repo, "revision": settings.revision, "commit": folder.name}
    return folder, files + weights_in(folder, settings), json.dumps(source, indent=1) + "\n"


def cached_snapshot(settings: BackboneSettings) -> Path | None:
    """The model's folder in the hub's cache, named by its commit, where all that we need is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    for weights in _formats(settings):
        try:
            folder = Path(
                snapshot_download(
                    settings.repo,
                    revision=settings.revision,
                    allow_patterns=[*TOKENIZER, *weights.patterns],
                    local_files_only=True,
                )
            )
        except (LocalEntryNotFoundError, FileNotFoundError):
            continue
        if weights.files(folder) and (folder / "config.json").is_file():
            return folder
    return None


def _answers(name: str, settings: BackboneSettings) -> bool:
    """Whether the hub is there and knows the revision; asked once and quickly, where a download tries many times."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        HfApi().model_info(settings.repo, revision=settings.revision, timeout=ANSWER_SECONDS)
    except GatedRepoError:
        raise _gated(name, settings) from None
    except RepositoryNotFoundError:
        raise UserError(
            f"{_what(name, settings)} is not on the hub, or not for you; check `repo` or set HF_TOKEN"
        ) from None
    except RevisionNotFoundError:
        raise UserError(f"{_what(name, settings)} has no revision {settings.revision!r}; check `revision`") from None
    except Exception:  # whatever the HTTP library, which differs from one client to the next, says of a dead line
        return False
    return True


def _download(name: str, settings: BackboneSettings) -> Path:
    """The model's folder in the hub's cache, all of it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError
    from huggingface_hub.utils import logging

    logging.set_verbosity(CRITICAL)  # it would tell every retry; what comes of them is told here
    for weights in _formats(settings):
        try:
            patterns = [*TOKENIZER, *weights.patterns]
            folder = Path(snapshot_download(settings.repo, revision=settings.revision, allow_patterns=patterns))
        except GatedRepoError:
            raise _gated(name, settings) from None
        except Exception as error:  # as above
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"{_what(name, settings)}: the download broke off ({reason}); run again, it goes on where it was"
            ) from error
        if weights.files(folder) and (folder / "config.json").is_file():
            return folder
    raise UserError(
        f"{_what(name, settings)} lacks config.json or {expected_weights(name, settings)}; name another repo"
    )


def weights_in(folder: Path, settings: BackboneSettings) -> list[str]:
    """The names of a model folder's files of weights, of the preferred format that is whole; empty where none is."""
    return next((files for weights in _formats(settings) if (files := weights.files(folder))), [])


def expected_weights(name: str, settings: BackboneSettings) -> str:
    """What a model's folder needs, for a message."""
    whole = "model.safetensors, or the shards of one with their index"
    if settings.pickled_weights:
        return f"{whole}, or the same of pytorch_model.bin"
    return f"{whole} (`backbones.{name}.pickled_weights: true` takes pytorch_model.bin as well)"


def _formats(settings: BackboneSettings) -> tuple[Weights, ...]:
    """Pickled weights, which are loaded without running any code in them, only where they are allowed and alone."""
    return (SAFETENSORS, PICKLED) if settings.pickled_weights else (SAFETENSORS,)


def _gated(name: str, settings: BackboneSettings) -> UserError:
    what = _what(name, settings)
    return UserError(f"{what} is not open to everybody; accept its terms on the hub and set HF_TOKEN")


def _what(name: str, settings: BackboneSettings) -> str:
    return f"backbones.{name}: {settings.repo}"
