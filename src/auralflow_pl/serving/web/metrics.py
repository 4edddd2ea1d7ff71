"""Metrics of a server, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from auralflow_pl.serving.jobs import JobState, UploadJob

METRICS_TYPE = CONTENT_TYPE_LATEST

BUCKETS_SECONDS = (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800)


class ServeMetrics:
    """Counts of responses and jobs, and the memory of the process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.responses = Counter(
            "auralflow_responses",
            "Responses by method, route and status",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.jobs = Counter(
            "auralflow_jobs_ended", "Jobs that ended", ("state",), registry=self.registry
        )
        for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
            self.jobs.labels(state)
        self.sound = Counter(
            "auralflow_separated_sound_seconds", "Sound separated", registry=self.registry
        )
        self.work = Histogram(
            "auralflow_separation_seconds",
            "Time of separations that ended well",
            buckets=BUCKETS_SECONDS,
            registry=self.registry,
        )

    def watch(self, count: Callable[[JobState], int]) -> None:
        """Show the number of jobs in every state that does not last.

        Args:
            count: number of jobs in a state now.
        """
        gauge = Gauge("auralflow_jobs", "Jobs now, by state", ("state",), registry=self.registry)
        for state in (JobState.RECEIVING, JobState.QUEUED, JobState.RUNNING, JobState.DONE):
            gauge.labels(state).set_function(lambda state=state: count(state))

    def count_job(self, job: UploadJob) -> None:
        """Count a job that has ended."""
        self.jobs.labels(job.state).inc()
        if job.state is JobState.DONE:
            self.sound.inc(job.seconds)
            self.work.observe(job.work_seconds)

    def count_response(self, scope: MutableMapping[str, Any], status: int) -> None:
        """Count a response by its route, not by its path, of which there are any number."""
        route = getattr(scope.get("route"), "path", "other")
        self.responses.labels(scope["method"], route, str(status)).inc()

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self.registry)
