"""Restoring many files: find inputs, plan outputs, run, resume, report."""

from memnet_core.batch.inputs import InputFile, InputListing, expand_scenes, find_inputs
from memnet_core.batch.jobs import Job
from memnet_core.batch.plan import plan_jobs
from memnet_core.batch.report import (
    ClusterReady,
    Event,
    FileFinished,
    FileNotice,
    FileProgress,
    FileStarted,
    ModelReady,
    Outcome,
    Run,
    counts_of,
    out_of_date,
    write_report,
)
from memnet_core.batch.run import BatchRun, Share

__all__ = [
    "BatchRun",
    "ClusterReady",
    "Event",
    "FileFinished",
    "FileNotice",
    "FileProgress",
    "FileStarted",
    "InputFile",
    "InputListing",
    "Job",
    "ModelReady",
    "Outcome",
    "Run",
    "Share",
    "counts_of",
    "expand_scenes",
    "find_inputs",
    "out_of_date",
    "plan_jobs",
    "write_report",
]
