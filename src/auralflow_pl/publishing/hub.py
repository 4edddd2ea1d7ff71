"""The Hugging Face Hub: a model card that it reads, and the upload of a published model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from auralflow_pl.errors import InputError, one_line, shown
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.hub_files import hub_endpoint, hub_network_errors
from auralflow_pl.system.extras import require_extra

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

REPOSITORY_PATTERN = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)

TASK = "audio-to-audio"  # the Hub's name of the task

TAGS = ("music-source-separation", "audio", "auralflow")

LICENCES = {  # that the Hub knows; others are stated as `other`
    "mit", "apache-2.0", "gpl-3.0", "lgpl-3.0", "bsd-3-clause", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-3.0", "cc-by-sa-3.0",
}  # fmt: skip


def check_repository(repository: str, push: bool) -> None:
    """Check the keys `hub` and `push` before anything is written.

    Raises:
        InputError: not a name of a repository, a missing package, or an upload without a token.
    """
    if not REPOSITORY_PATTERN.fullmatch(repository):
        raise InputError(f"hub={shown(repository)}: expected <user>/<repository>, as in me/vae")
    require_extra("hub", f"hub={repository}")
    from huggingface_hub import get_token

    if push and get_token() is None:
        raise InputError(
            "push=true: no token of the Hugging Face Hub; run `hf auth login`, or set HF_TOKEN"
        )


def hub_source(repository: str, file: str) -> str:
    """Source of a file in a repository, for registries."""
    return f"hf://{repository}/{file}"


def hub_card(card: str, entry: RegistryEntry, base_model: str | None) -> str:
    """A card with the front matter of the Hub, which lists and compares models by it.

    Args:
        card: the card of the model in Markdown.
        entry: registry entry of the model.
        base_model: model on the Hub that this one began with; None: none.

    Returns:
        the card, with library, licence, tags and all scores of the entry (`model-index`).
    """
    from huggingface_hub import ModelCardData

    known = entry.licence.lower() in LICENCES
    data = ModelCardData(
        model_name=entry.name,
        library_name="auralflow_pl",
        license=entry.licence.lower() if known else "other",
        license_name=None if known else hub_word(entry.licence),
        pipeline_tag=TASK,
        tags=[*TAGS, *dict.fromkeys(map(hub_word, (entry.architecture, *entry.targets)))],
        base_model=base_model,
        eval_results=list(hub_scores(entry)) or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card}"


def hub_scores(entry: RegistryEntry) -> Iterator[EvalResult]:
    """All scores of an entry as the Hub stores them."""
    from huggingface_hub import EvalResult

    for metric in entry.metrics:
        for value in metric.values:
            yield EvalResult(
                task_type=TASK,
                task_name="music source separation",
                dataset_type=hub_word(value.data),
                dataset_name=value.data,
                metric_type=metric.name,
                metric_name=f"{metric.name} of {value.target}, {value.average}",
                metric_value=value.value,
            )


def hub_word(text: str) -> str:
    """A text in small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "unknown"


def upload(repository: str, files: Mapping[str, Path], private: bool) -> str:
    """Upload files in one commit; the repository is made if there is none.

    Args:
        repository: its name.
        files: paths by the names that they get there.
        private: a repository that is made is private.

    Returns:
        address of the repository.

    Raises:
        InputError: the Hub refuses, or cannot be reached; no file is changed there then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(endpoint=hub_endpoint())
    try:
        address = api.create_repo(repository, private=private, exist_ok=True)
        additions = [CommitOperationAdd(name, path) for name, path in files.items()]
        api.create_commit(repository, additions, commit_message="Publish the model")
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, *hub_network_errors()) as error:
        kept = ", ".join(map(str, files.values()))
        raise InputError(
            f"hub={repository}: not uploaded: {one_line(error)}; the files are here: {kept}"
        ) from error
    return str(address)
