"""Takes landed files through bronze and silver to gold, in Spark, by steps that can be repeated (docs/lake.md)."""

from services.ingest.pipeline.lake import LakeUnavailableError
from services.ingest.pipeline.pipeline import (
    LandedFile,
    Pipeline,
    PipelineCancelledError,
    RowsNotConservedError,
)

__all__ = [
    "LakeUnavailableError",
    "LandedFile",
    "Pipeline",
    "PipelineCancelledError",
    "RowsNotConservedError",
]
