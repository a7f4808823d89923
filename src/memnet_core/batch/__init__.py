"""Restoring many files: find inputs, plan outputs, run, resume, report."""

from memnet_core.batch.events import (
    ClusterReady,
    Event,
    FileFinished,
    FileStarted,
    ModelReady,
    Outcome,
    TileFinished,
)
from memnet_core.batch.inputs import Found, Source, find_inputs
from memnet_core.batch.plan import Job, plan_jobs
from memnet_core.batch.report import counts_of, write_report
from memnet_core.batch.run import BatchRun
from memnet_core.batch.settings import BatchSettings
from memnet_core.batch.volumes import Share

__all__ = [
    "BatchRun",
    "BatchSettings",
    "ClusterReady",
    "Event",
    "FileFinished",
    "FileStarted",
    "Found",
    "Job",
    "ModelReady",
    "Outcome",
    "Share",
    "Source",
    "TileFinished",
    "counts_of",
    "find_inputs",
    "plan_jobs",
    "write_report",
]
