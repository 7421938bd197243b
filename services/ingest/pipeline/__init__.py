"""Takes landed files through bronze and silver to gold, in Spark, by steps that can be repeated (docs/lake.md)."""

from services.ingest.pipeline.lake import LakeUnavailableError
from services.ingest.pipeline.pipeline import (
    FileCounts,
    LandedFile,
    Pipeline,
    PipelineCancelledError,
    RowsNotConservedError,
    Stage,
)

__all__ = [
    "FileCounts",
    "LakeUnavailableError",
    "LandedFile",
    "Pipeline",
    "PipelineCancelledError",
    "RowsNotConservedError",
    "Stage",
]
