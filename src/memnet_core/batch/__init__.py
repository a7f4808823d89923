"""Restoring many files: find inputs, plan outputs, run, resume, report."""

from memnet_core.batch.events import (
    ClusterReady,
    Event,
    FileFinished,
    FileNotice,
    FileProgress,
    FileStarted,
    ModelReady,
    Outcome,
)
from memnet_core.batch.expand import parts_of
from memnet_core.batch.inputs import Found, Source, find_inputs
from memnet_core.batch.jobs import Job
from memnet_core.batch.plan import plan_jobs
from memnet_core.batch.report import Run, counts_of, out_of_date, write_report
from memnet_core.batch.run import BatchRun, Share

__all__ = [
    "BatchRun",
    "ClusterReady",
    "Event",
    "FileFinished",
    "FileNotice",
    "FileProgress",
    "FileStarted",
    "Found",
    "Job",
    "ModelReady",
    "Outcome",
    "Run",
    "Share",
    "Source",
    "counts_of",
    "find_inputs",
    "out_of_date",
    "parts_of",
    "plan_jobs",
    "write_report",
]
