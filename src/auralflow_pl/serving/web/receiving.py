"""From a request with an upload to a job in the queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fastapi import Request

from auralflow_pl.errors import did_you_mean, shown
from auralflow_pl.serving.jobs import UploadJob
from auralflow_pl.serving.refusals import Refusal, refusal_of
from auralflow_pl.serving.service import SeparationService
from auralflow_pl.serving.web.forms import SERVED_FORMATS, UploadForm, receive_form
from auralflow_pl.stems.outputs import StemOptions
from auralflow_pl.stems.writer import RESIDUAL_NAME

FORM_FIELDS = ("stem", "format", "residual")


async def received_job(
    request: Request, service: SeparationService, fields: Collection[str]
) -> tuple[UploadJob, str | None]:
    """Receive an upload and queue it.

    Args:
        request: with a body that was not read.
        service: separates the upload.
        fields: names of the fields that the form may have besides the file.

    Returns:
        the job, and the stem that is asked for, if any.

    Raises:
        Refusal: the queue is full, or the form or its fields are not as expected.
        ClientGone: the client closed the connection.
    """
    limits = service.limits
    job = service.open_job()
    try:
        form = UploadForm(request.headers.get("content-type", ""), job.upload, limits.upload_bytes)
        length = request.headers.get("content-length", "")
        await receive_form(
            request.receive, form, length, limits.upload_seconds, limits.idle_seconds
        )
        options, stem = stem_options(form.fields, fields, service.targets)
        service.submit(job, form.name or "", options)
    except OSError as error:
        service.discard(job)
        raise refusal_of(error, job.folder, job.upload, "upload") from error
    except BaseException:
        service.discard(job)
        raise
    return job, stem


def stem_options(
    fields: Mapping[str, bytes], known: Collection[str], targets: Collection[str]
) -> tuple[StemOptions, str | None]:
    """Settings of the stems, and the only stem that is asked for, of the fields of a form.

    Raises:
        Refusal: an unknown field or value.
    """
    texts = {name: value.decode("utf-8", "replace").strip() for name, value in fields.items()}
    for name in texts:
        if name not in known:
            raise Refusal(422, f"{shown(name)}: no such field, {did_you_mean(name, known)}")
    form = texts.get("format") or "wav"
    if form not in SERVED_FORMATS:
        raise Refusal(422, f"format={shown(form)}: expected wav or flac")
    residual = (texts.get("residual") or "false").lower()
    if residual not in ("true", "false"):
        raise Refusal(422, f"residual={shown(residual)}: expected true or false")
    stem = texts.get("stem") or None
    names = [*targets, RESIDUAL_NAME]
    if stem is not None and stem not in names:
        raise Refusal(422, f"stem={shown(stem)}: no such stem, {did_you_mean(stem, names)}")
    wanted = residual == "true" or (stem == RESIDUAL_NAME and stem not in targets)
    return StemOptions(wanted, form), stem
