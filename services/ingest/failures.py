"""What ingest's domain, store and pipeline raise, as the contract has it."""

import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

from mesh.v1.error_reason_pb2 import ErrorReason as MeshReason
from retail.ingest.v1.error_reason_pb2 import ErrorReason

import mesh
from mesh.error import Error
from services.database import StoreUnavailableError
from services.gold import LakeUnavailableError as LakeUnreadableError
from services.ingest.domain import errors
from services.ingest.pipeline import LakeUnavailableError, RowsNotConservedError
from services.ingest.store.landing import LandingUnavailableError

_RETRY_SECONDS = 1.0

error = mesh.errors(ErrorReason)
mesh_error = mesh.errors(MeshReason)

_REFUSALS: dict[type[errors.FileRefusedError], int] = {
    errors.FileEmptyError: ErrorReason.ERROR_REASON_FILE_EMPTY,
    errors.ColumnsMissingError: ErrorReason.ERROR_REASON_COLUMNS_MISSING,
    errors.FileNotCsvError: ErrorReason.ERROR_REASON_FILE_NOT_CSV,
    errors.GzipDamagedError: ErrorReason.ERROR_REASON_GZIP_DAMAGED,
    errors.RowTooLongError: ErrorReason.ERROR_REASON_ROW_TOO_LONG,
    errors.FileTooLargeError: ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
    errors.ChecksumMismatchError: ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH,
    errors.UploadIncompleteError: ErrorReason.ERROR_REASON_UPLOAD_INCOMPLETE,
}


@contextlib.contextmanager
def contract_errors() -> Iterator[None]:
    """Raises what is no refusal of a file."""
    try:
        yield
    except errors.FileNotFoundInLakeError as refused:
        raise error(ErrorReason.ERROR_REASON_FILE_NOT_FOUND, file_id=refused.file_id) from None
    except errors.JobNotFoundError as refused:
        raise error(ErrorReason.ERROR_REASON_JOB_NOT_FOUND, job_id=refused.job_id) from None
    except errors.JobEndedError as refused:
        raise error(ErrorReason.ERROR_REASON_JOB_ENDED, job_id=refused.job_id, state=refused.state) from None
    except errors.RequestIdReusedError as refused:
        raise error(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=refused.request_id) from None
    except errors.UploadOutOfOrderError as refused:
        raise error(ErrorReason.ERROR_REASON_UPLOAD_OUT_OF_ORDER, problem=refused) from None
    except StoreUnavailableError:
        raise error(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None
    except (LakeUnavailableError, LakeUnreadableError, LandingUnavailableError):
        raise error(ErrorReason.ERROR_REASON_LAKE_UNAVAILABLE, retry_after=_RETRY_SECONDS) from None


def refused_file(filename: str, refused: errors.FileRefusedError) -> Error:
    """The error for a file that is not taken."""
    facts: dict[str, Any] = {"filename": filename} | refused.facts
    return error(_REFUSALS[type(refused)], **facts)


def failed_job(failure: Exception) -> Error:
    """What a job says that failed."""
    match failure:
        case LakeUnavailableError():
            return error(ErrorReason.ERROR_REASON_LAKE_UNAVAILABLE)
        case RowsNotConservedError(filename=filename, rows_read=rows_read, rows_told=rows_told):
            return error(
                ErrorReason.ERROR_REASON_ROWS_NOT_CONSERVED,
                filename=filename,
                rows_read=rows_read,
                rows_told=rows_told,
            )
    return mesh_error(MeshReason.ERROR_REASON_INTERNAL, error_id=uuid.uuid4().hex)
