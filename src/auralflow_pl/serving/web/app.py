"""The endpoints of the service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from auralflow_pl.errors import did_you_mean, shown
from auralflow_pl.serving.jobs import JobState, UploadJob
from auralflow_pl.serving.refusals import Refusal
from auralflow_pl.serving.service import SeparationService
from auralflow_pl.serving.web.documents import (
    API_TEXT,
    JOB_REFUSALS,
    REFUSALS,
    STEM_FIELD,
    WAITING_REFUSALS,
    Health,
    JobStatus,
    form_of,
    refusals_document,
)
from auralflow_pl.serving.web.forms import ClientGone
from auralflow_pl.serving.web.guard import RequestGuard, refusal_response
from auralflow_pl.serving.web.metrics import METRICS_TYPE, ServeMetrics
from auralflow_pl.serving.web.pages import api_page
from auralflow_pl.serving.web.receiving import FORM_FIELDS, received_job
from auralflow_pl.serving.web.responses import StemFileResponse, StemZipResponse, job_events
from auralflow_pl.stems.inputs import track_name
from auralflow_pl.version import __version__


def build_service_app(
    service: SeparationService,
    metrics: ServeMetrics,
    token: str | None = None,
    hosts: Collection[str] | None = None,
) -> FastAPI:
    """Web application of a service.

    Args:
        service: separates the uploads.
        metrics: counts requests and jobs.
        token: see `RequestGuard`.
        hosts: see `RequestGuard`.
    """
    app = FastAPI(
        title="auralflow",
        version=__version__,
        description=API_TEXT,
        docs_url=None,  # those pages load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(RequestGuard, token=token, hosts=hosts, metrics=metrics)
    add_error_handlers(app)
    add_uploads(app, service)
    add_jobs(app, service)
    add_state(app, service, metrics)
    return app


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error with JSON of one line `detail`."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, error: Refusal) -> Response:
        return refusal_response(error)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        known = ", ".join(sorted({getattr(route, "path", "") for route in app.routes}))
        methods = (error.headers or {}).get("Allow", "another method")
        texts = {
            404: f"no such address; expected one of {known}",
            405: f"{request.method}: the method does not fit; this address takes {methods}",
        }
        text = texts.get(error.status_code, str(error.detail))
        return JSONResponse({"detail": text}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def broken(*_: Any) -> Response:
        return JSONResponse({"detail": "the server failed; its log says why"}, 500)

    @app.exception_handler(ClientGone)
    async def gone(*_: Any) -> Response:
        return Response(status_code=499)  # nobody reads it; the number is that of nginx


def add_uploads(app: FastAPI, service: SeparationService) -> None:
    """The endpoints that take a file."""

    @app.post(
        "/separate",
        response_class=Response,
        responses={
            200: {
                "description": "the stems as zip, or one stem",
                "content": {"application/zip": {}, "audio/wav": {}, "audio/flac": {}},
            },
            **refusals_document(REFUSALS | WAITING_REFUSALS),
        },
        openapi_extra=form_of(STEM_FIELD),
    )
    async def separate(request: Request) -> Response:
        """Separate a file and send its stems.

        The response begins when the separation has ended. If the client closes the connection
        before, the separation is cancelled.
        """
        job, stem = await received_job(request, service, FORM_FIELDS)
        try:
            await until_ended(job, request)
            return stems_response(service, job, stem, lambda: service.discard(job))
        except BaseException:
            service.discard(job)
            raise

    @app.post(
        "/jobs",
        status_code=202,
        response_model=JobStatus,
        responses=refusals_document(REFUSALS),
        openapi_extra=form_of(),
    )
    async def start(request: Request, response: Response) -> dict[str, Any]:
        """Queue a file, and answer once it has arrived."""
        job, _ = await received_job(request, service, FORM_FIELDS[1:])
        response.headers["Location"] = f"{request.scope.get('root_path', '')}/jobs/{job.id}"
        return describe_job(service, job)


def add_jobs(app: FastAPI, service: SeparationService) -> None:
    """The endpoints of a job."""

    @app.get("/jobs/{number}", response_model=JobStatus, responses=refusals_document(JOB_REFUSALS))
    async def status(number: str) -> dict[str, Any]:
        """State and progress of a job."""
        return describe_job(service, service.find(number))

    @app.get(
        "/jobs/{number}/events",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "an event named like the state whenever it or the progress changes",
                "content": {"text/event-stream": {}},
            },
            **refusals_document(JOB_REFUSALS),
        },
    )
    async def events(number: str) -> Response:
        """Progress of a job as server-sent events, until it has ended."""
        job = service.find(number)
        finished = asyncio.wrap_future(job.finished)
        stream = job_events(lambda: describe_job(service, job), asyncio.shield(finished))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold them
        return StreamingResponse(stream, headers=headers, media_type="text/event-stream")

    not_done = {409: "the job has not ended", 410: "the job was cancelled"}

    @app.get(
        "/jobs/{number}/stems.zip",
        response_class=Response,
        responses={
            200: {"description": "all stems", "content": {"application/zip": {}}},
            **refusals_document(JOB_REFUSALS | not_done),
        },
    )
    async def stems(number: str) -> Response:
        """All stems of a job as zip."""
        return stems_response(service, service.find(number), None)

    @app.get(
        "/jobs/{number}/stems/{name}",
        response_class=Response,
        responses={
            200: {"description": "the stem", "content": {"audio/wav": {}, "audio/flac": {}}},
            **refusals_document(JOB_REFUSALS | not_done),
        },
    )
    async def stem(number: str, name: str) -> Response:
        """One stem of a job, or a range of it."""
        return stems_response(service, service.find(number), name)

    @app.delete(
        "/jobs/{number}",
        status_code=204,
        response_class=Response,
        responses=refusals_document(JOB_REFUSALS),
    )
    async def delete(number: str) -> Response:
        """Cancel a job if it has not ended, and delete its files."""
        service.discard(service.find(number))
        return Response(status_code=204)


def add_state(app: FastAPI, service: SeparationService, metrics: ServeMetrics) -> None:
    """The endpoints of the server itself."""

    @app.get("/health", response_model=Health, responses={503: {"description": "it ends"}})
    async def health(response: Response) -> dict[str, Any]:
        """Whether the server takes uploads, and the stems that it makes."""
        ends = service.closed.is_set()
        response.status_code = 503 if ends else 200
        states = (JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING)
        return {
            "status": "ending" if ends else "ok",
            "version": __version__,
            "stems": service.targets,
            **{state: service.count(state) for state in states},
        }

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"description": "the metrics", "content": {"text/plain": {}}}},
    )
    async def show_metrics() -> Response:
        """Metrics in the text format of Prometheus."""
        return Response(metrics.text(), media_type=METRICS_TYPE)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> str:
        return api_page(app.openapi())


async def until_ended(job: UploadJob, request: Request) -> None:
    """Wait until a job has ended.

    Raises:
        ClientGone: the client closed the connection before.
    """

    async def until_gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    ended = asyncio.shield(asyncio.wrap_future(job.finished))
    gone = asyncio.create_task(until_gone())
    try:
        await asyncio.wait({ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            raise ClientGone
    finally:
        gone.cancel()


def stems_response(
    service: SeparationService,
    job: UploadJob,
    name: str | None,
    after: Callable[[], None] = lambda: None,
) -> Response:
    """Response with one stem of a job, or all as zip.

    Args:
        service: has the job.
        job: a job that is done.
        name: name of the stem, or of its file; None: all.
        after: called once the response has ended.

    Raises:
        Refusal: the job is not done, or has no such stem.
    """

    def release() -> None:
        service.release(job)
        after()

    stems = service.stems_of(job)
    try:
        track = track_name(Path(job.name))
        if name is None:
            return StemZipResponse(stems, f"{track}.zip", release)
        path = next((p for known, p in stems.items() if name in (known, p.name)), None)
        if path is None:
            known = did_you_mean(name, stems)
            raise Refusal(404, f"stem {shown(name)}: the job has none of this name, {known}")
        return StemFileResponse(path, f"{track} - {path.name}", release)
    except BaseException:
        service.release(job)
        raise


def describe_job(service: SeparationService, job: UploadJob) -> dict[str, Any]:
    """State of a job as plain values; see `JobStatus`."""
    return {
        "id": job.id,
        "name": job.name,
        "state": job.state,
        "position": service.position(job),
        "seconds": round(job.seconds, 2),
        "total": None if job.total is None else round(job.total, 2),
        "stems": list(job.stems),
        "detail": None if job.refusal is None else job.refusal.detail,
    }
