"""What the OpenAPI document says of requests and responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from auralflow_pl.serving.jobs import JobState
from auralflow_pl.serving.web.forms import FILE_FIELD, SERVED_FORMATS

API_TEXT = """Send a sound, get its stems.

    curl -F file=@song.wav <address>/separate -o stems.zip
    curl -F file=@song.wav -F stem=vocals -F format=flac <address>/separate -o vocals.flac

For long songs, or behind a proxy that closes slow responses, start a job and ask for it:

    curl -F file=@song.wav <address>/jobs
    curl -N <address>/jobs/<id>/events
    curl <address>/jobs/<id>/stems.zip -o stems.zip

Every refusal is JSON with one line, `detail`."""

UPLOAD_SCHEMA = {
    "type": "object",
    "required": [FILE_FIELD],
    "properties": {
        FILE_FIELD: {"type": "string", "format": "binary", "description": "the sound"},
        "format": {"type": "string", "enum": list(SERVED_FORMATS), "default": "wav"},
        "residual": {
            "type": "boolean",
            "default": False,
            "description": "also the mixture minus all stems",
        },
    },
}

STEM_FIELD = {
    "stem": {
        "type": "string",
        "description": "name of the only stem to send (a target of /health, or residual)",
    }
}


class Refused(BaseModel):
    """Why a request was not served."""

    detail: str


class JobStatus(BaseModel):
    """State of a job."""

    id: str
    name: str  # of the upload
    state: JobState
    position: int | None = None  # in the queue, from 1
    seconds: float = 0.0  # of sound that are done
    total: float | None = None  # of sound in all; null: unknown
    stems: list[str] = []
    detail: str | None = None  # why it failed


class Health(BaseModel):
    """State of the server."""

    status: str
    version: str
    stems: list[str]
    receiving: int
    queued: int
    running: int


REFUSALS = {
    400: "the body is no valid form, or has no file",
    401: "no token, or a wrong one",
    408: "the upload took too long",
    413: "the file is too large",
    415: "the body is no form",
    422: "the file is no sound, or too long; or a field has an unknown value",
    503: "the queue is full, see Retry-After",
    507: "the disk of the server is full",
}

WAITING_REFUSALS = {504: "the separation took too long"}

JOB_REFUSALS = {401: REFUSALS[401], 404: "no such job"}


def refusals_document(texts: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    """Descriptions of refusals for the OpenAPI document, by status."""
    return {status: {"model": Refused, "description": text} for status, text in texts.items()}


def form_of(*extra: dict[str, Any]) -> dict[str, Any]:
    """Description of an upload for the OpenAPI document."""
    schema = {**UPLOAD_SCHEMA, "properties": {**UPLOAD_SCHEMA["properties"]}}
    for fields in extra:
        schema["properties"].update(fields)
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
