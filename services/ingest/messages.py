"""Files and jobs as the contract's messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from retail.ingest.v1 import ingest_service_pb2 as pb

from services.ingest.domain.job import Counts, File, Job, JobFile
from services.ingest.store.quarantine import QuarantinedRow


def file_message(file: File) -> pb.File:
    return pb.File(
        file_id=file.file_id,
        filename=file.filename,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        row_count=file.row_count,
        encoding=file.encoding,
        upload_time=_timestamp(file.upload_time),
    )


def job_message(job: Job) -> pb.Job:
    return pb.Job(
        job_id=str(job.job_id),
        state=pb.JobState.Value(f"JOB_STATE_{job.state}"),
        stage=pb.JobStage.Value(f"JOB_STAGE_{job.stage or 'UNSPECIFIED'}"),
        progress_percent=job.progress_percent,
        file_ids=[each.file_id for each in job.files],
        counts=_counts(job.counts),
        files=[_report(each) for each in job.files if each.counts is not None],
        error=Status.FromString(job.error) if job.error else None,
        create_time=_timestamp(job.create_time),
        start_time=_timestamp(job.start_time),
        end_time=_timestamp(job.end_time),
    )


def quarantined_row(row: QuarantinedRow) -> pb.QuarantinedRow:
    return pb.QuarantinedRow(
        file_id=row.file_id,
        filename=row.filename,
        row_number=row.place.row_number,
        reason=pb.QuarantineReason.Value(f"QUARANTINE_REASON_{row.reason}"),
        fields=row.fields,
    )


def _report(file: JobFile) -> pb.FileReport:
    return pb.FileReport(file_id=file.file_id, filename=file.filename, counts=_counts(file.counts))


def _counts(counts: Counts | None) -> pb.RowCounts | None:
    if counts is None:
        return None
    by_reason = {
        pb.QuarantineReason.Value(f"QUARANTINE_REASON_{name}"): rows for name, rows in counts.quarantined.items()
    }
    return pb.RowCounts(
        rows_read=counts.rows_read,
        rows_accepted=counts.accepted,
        rows_duplicate=counts.duplicate,
        rows_quarantined=counts.rows_quarantined,
        quarantined=[pb.QuarantineCount(reason=reason, rows=rows) for reason, rows in sorted(by_reason.items())],
    )


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp
