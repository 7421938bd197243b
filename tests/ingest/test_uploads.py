"""Uploads by client stream, and as Envoy hands them on from REST."""

import asyncio
import gzip
import hashlib
import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from retail.ingest.v1.ingest_service_pb2 import FileDigest, UploadFilesRequest
from retail.ingest.v1.ingest_service_pb2_grpc import IngestServiceStub

from tests.calls import refused
from tests.eventually import eventually
from tests.ingest.conftest import World
from tests.ingest.uploading import CSV, HEADER, ROW, digest, name, piece, stream, whole

OTHER = (HEADER + ROW.replace("536365", "536366") + ROW.replace("536365", "536367")).encode()
REST = (("x-envoy-original-path", "/v1/files:upload"),)


async def test_several_files_in_one_stream(ingest: IngestServiceStub, world: World) -> None:
    packed = gzip.compress(OTHER)
    answer = await ingest.UploadFiles(stream([*whole("a.csv", CSV), *whole("folder\\b.csv.gz", packed)]))
    shown = [(file.filename, file.size_bytes, file.row_count, file.encoding) for file in answer.files]
    assert shown == [("a.csv", len(CSV), 1, "utf-8"), ("b.csv.gz", len(packed), 2, "utf-8")]
    for file, content in zip(answer.files, (CSV, packed), strict=True):
        assert file.file_id == file.sha256 == hashlib.sha256(content).hexdigest()
        assert (world.lake / "landing" / file.file_id / "original").read_bytes() == content


async def test_the_same_content_is_one_file(ingest: IngestServiceStub, world: World) -> None:
    first = (await ingest.UploadFiles(stream(whole("a.csv", CSV)))).files[0]
    second = (await ingest.UploadFiles(stream(whole("renamed.csv", CSV)))).files[0]
    assert (second.file_id, second.filename) == (first.file_id, "renamed.csv")
    assert len(world.landed()) == 2


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        pytest.param([], "UPLOAD_INCOMPLETE", id="nothing"),
        pytest.param([name("a.csv"), piece(CSV)], "UPLOAD_INCOMPLETE", id="no digest"),
        pytest.param([name("a.csv"), piece(CSV), digest(CSV, sha256="0" * 64)], "CHECKSUM_MISMATCH", id="checksum"),
        pytest.param([name("a.csv"), piece(CSV[:-1]), digest(CSV)], "CHECKSUM_MISMATCH", id="size"),
        pytest.param([name("a.csv"), piece(CSV), digest(CSV, sha256="")], "UPLOAD_OUT_OF_ORDER", id="no checksum"),
        pytest.param([piece(CSV)], "UPLOAD_OUT_OF_ORDER", id="content first"),
        pytest.param([digest(CSV)], "UPLOAD_OUT_OF_ORDER", id="digest first"),
        pytest.param([name("a.csv"), piece(CSV), name("b.csv")], "UPLOAD_OUT_OF_ORDER", id="a file in a file"),
        pytest.param([name("a.csv"), UploadFilesRequest()], "UPLOAD_OUT_OF_ORDER", id="an empty message"),
        pytest.param([name("folder/")], "UPLOAD_INCOMPLETE", id="a folder"),
        pytest.param([name("/")], "UPLOAD_OUT_OF_ORDER", id="no name"),
        pytest.param([name("a\0.csv")], "INVALID_REQUEST", id="a control character"),
        pytest.param([name("a.csv"), digest(b"")], "FILE_EMPTY", id="no content"),
        pytest.param(whole("a.csv", HEADER.replace(",", ";").encode()), "COLUMNS_MISSING", id="no CSV"),
        pytest.param(whole("a.csv", CSV + b"\0"), "FILE_NOT_CSV", id="NUL"),
        pytest.param(whole("a.csv", gzip.compress(CSV)[:-1]), "GZIP_DAMAGED", id="a cut gzip"),
        pytest.param(whole("a.csv", CSV + b"x" * 1_100_000), "ROW_TOO_LONG", id="a long line"),
    ],
)
async def test_an_upload_that_is_refused_leaves_nothing(
    ingest: IngestServiceStub, world: World, requests: Sequence[UploadFilesRequest], expected: str
) -> None:
    why = await refused(ingest.UploadFiles(stream(requests)))
    assert why.reason == expected, why
    assert world.landed() == []


async def test_files_before_a_bad_one_are_kept(ingest: IngestServiceStub, world: World) -> None:
    why = await refused(ingest.UploadFiles(stream([*whole("a.csv", CSV), name("b.csv"), piece(OTHER)])))
    assert (why.reason, why.metadata["filename"]) == ("UPLOAD_INCOMPLETE", "b.csv")
    assert len(world.landed()) == 2


async def test_a_file_above_the_limit(world: World) -> None:
    async with world.ingest(file_bytes=len(CSV)) as ingest:
        await ingest.UploadFiles(stream(whole("a.csv", CSV)))
        why = await refused(ingest.UploadFiles(stream(whole("b.csv", CSV + b"\n"))))
    assert (why.reason, why.metadata["limit_bytes"]) == ("FILE_TOO_LARGE", str(len(CSV)))


async def test_a_caller_who_gives_up_leaves_nothing(ingest: IngestServiceStub, world: World) -> None:
    def spools() -> list[Path]:
        return list(Path(tempfile.gettempdir()).glob("ingest-*/file-*"))

    before = len(spools())
    call = ingest.UploadFiles()
    await call.write(name("a.csv"))
    await call.write(piece(CSV))

    async def spooling() -> bool:
        return len(spools()) > before

    await eventually(spooling)
    call.cancel()

    async def gone() -> bool:
        return len(spools()) == before

    await eventually(gone)
    assert world.landed() == []


async def test_a_caller_who_gives_up_while_a_file_is_landed_leaves_no_half_of_it(
    ingest: IngestServiceStub, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spools = tmp_path / "spools"
    spools.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spools))
    call = ingest.UploadFiles()
    for request in whole("a.csv", (HEADER + ROW * 60_000).encode()):
        await call.write(request)

    async def parsing() -> bool:
        return any(spools.rglob("*.parquet"))

    await eventually(parsing, interval=0.01)
    call.cancel()

    async def gone() -> bool:
        return not any(spools.iterdir())

    await eventually(gone)
    assert [Path(path).name for path in world.landed()] == ["original", "rows.parquet"]


async def test_a_lake_that_cannot_be_written_to(ingest: IngestServiceStub, world: World) -> None:
    world.lake.rename(world.lake.with_suffix(".away"))
    world.lake.write_text("no folder")
    why = await refused(ingest.UploadFiles(stream(whole("a.csv", CSV))))
    assert (why.reason, why.retry_after) == ("LAKE_UNAVAILABLE", 1.0)


async def over_rest(
    ingest: IngestServiceStub, requests: Sequence[UploadFilesRequest], length: int | None = None
) -> list[tuple[str, int]]:
    """Name and rows of each file, of an upload as the edge hands it on."""
    metadata = REST if length is None else (*REST, ("x-content-length", str(length)))
    answer = await ingest.UploadFiles(stream(requests), metadata=metadata)
    return [(file.filename, file.row_count) for file in answer.files]


def raw(data: bytes, filename: str = "a.csv", **facts: str | int) -> UploadFilesRequest:
    request = piece(data, "text/csv")
    request.filename = filename
    if facts:
        request.digest.CopyFrom(FileDigest(**facts))  # type: ignore[arg-type]
    return request


async def test_a_raw_body(ingest: IngestServiceStub) -> None:
    assert await over_rest(ingest, [raw(CSV[:9]), piece(CSV[9:])], len(CSV)) == [("a.csv", 1)]
    sha256 = hashlib.sha256(CSV).hexdigest()
    assert await over_rest(ingest, [raw(CSV, sha256=sha256)]) == [("a.csv", 1)]


@pytest.mark.parametrize(
    ("requests", "length", "expected"),
    [
        pytest.param([], None, "UPLOAD_INCOMPLETE", id="no body"),
        pytest.param([raw(CSV)], None, "UPLOAD_INCOMPLETE", id="an end that nothing confirms"),
        pytest.param([raw(CSV)], len(CSV) + 1, "UPLOAD_INCOMPLETE", id="cut off"),
        pytest.param([raw(CSV, sha256="0" * 64)], len(CSV), "CHECKSUM_MISMATCH", id="checksum"),
        pytest.param([raw(CSV, filename="")], len(CSV), "UPLOAD_OUT_OF_ORDER", id="no name"),
        pytest.param([piece(CSV, "multipart/form-data")], len(CSV), "UPLOAD_OUT_OF_ORDER", id="no boundary"),
        pytest.param([piece(b"x", "multipart/form-data; boundary=b")], 1, "UPLOAD_OUT_OF_ORDER", id="no form"),
    ],
)
async def test_a_body_that_is_refused(
    ingest: IngestServiceStub, world: World, requests: Sequence[UploadFilesRequest], length: int | None, expected: str
) -> None:
    metadata = REST if length is None else (*REST, ("x-content-length", str(length)))
    assert (await refused(ingest.UploadFiles(stream(requests), metadata=metadata))).reason == expected
    assert world.landed() == []


def form(*parts: tuple[str, bytes]) -> bytes:
    """`parts` are the content-disposition's parameters and the content."""
    body = b"".join(
        f"--b\r\nContent-Disposition: form-data; {facts}\r\nContent-Type: text/csv\r\n\r\n".encode() + content + b"\r\n"
        for facts, content in parts
    )
    return body + b"--b--\r\n"


FORM = form(('name="file"; filename="a.csv"', CSV), ('name="file"; filename="b.csv"', OTHER))
FORM_TYPE = "multipart/form-data; boundary=b"


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.sets(st.integers(1, len(FORM) - 1), max_size=6))
async def test_a_form_in_any_pieces(ingest: IngestServiceStub, cuts: set[int]) -> None:
    borders = [0, *sorted(cuts), len(FORM)]
    pieces = [piece(FORM[a:b], FORM_TYPE) for a, b in itertools.pairwise(borders)]
    assert await over_rest(ingest, pieces, len(FORM)) == [("a.csv", 1), ("b.csv", 2)]


async def test_a_form_without_its_end_lacks_its_last_file(ingest: IngestServiceStub, world: World) -> None:
    cut = FORM[: FORM.index(b"--b--")]
    why = await refused(ingest.UploadFiles(stream([piece(cut, FORM_TYPE)]), metadata=REST))
    assert why.reason == "UPLOAD_INCOMPLETE"
    assert len(world.landed()) == 2  # the first file was whole


async def test_a_field_that_is_no_file(ingest: IngestServiceStub) -> None:
    request = piece(form(('name="comment"', b"hello")), FORM_TYPE)
    why = await refused(ingest.UploadFiles(stream([request]), metadata=REST))
    assert (why.reason, "comment" in why.message) == ("UPLOAD_OUT_OF_ORDER", True)


@pytest.mark.parametrize("filename", ["a\0.csv", "a\x1b.csv", "x" * 256, ""], ids=ascii)
async def test_a_form_gives_a_file_a_name_that_is_none(ingest: IngestServiceStub, world: World, filename: str) -> None:
    request = piece(form((f'name="file"; filename="{filename}"', CSV)), FORM_TYPE)
    why = await refused(ingest.UploadFiles(stream([request]), metadata=REST))
    assert why.reason == "UPLOAD_OUT_OF_ORDER"
    assert world.landed() == []


async def test_uploads_run_side_by_side(ingest: IngestServiceStub) -> None:
    contents = [(HEADER + ROW * number).encode() for number in range(1, 9)]
    answers = await asyncio.gather(*(ingest.UploadFiles(stream(whole("a.csv", data))) for data in contents))
    assert [answer.files[0].row_count for answer in answers] == list(range(1, 9))
