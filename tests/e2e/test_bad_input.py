"""Whatever somebody sends to the edge, the answer is a clear refusal, and what was there stays."""

import gzip
import uuid
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import DECEMBER, HEADER, Loaded

WHOLE = DECEMBER.encode()


def reason(answer: httpx.Response) -> tuple[int, str]:
    """HTTP status and the ErrorInfo's reason."""
    infos = [detail for detail in answer.json()["details"] if detail["@type"].endswith("/google.rpc.ErrorInfo")]
    return answer.status_code, infos[0]["reason"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", "FILE_EMPTY", id="empty"),
        pytest.param(WHOLE.replace(b",", b";"), "COLUMNS_MISSING", id="delimiter"),
        pytest.param(WHOLE.replace(b"Country", b"Land"), "COLUMNS_MISSING", id="column"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "FILE_NOT_CSV", id="picture"),
        pytest.param(b"PK\x03\x04 a workbook", "FILE_NOT_CSV", id="workbook"),
        pytest.param(gzip.compress(WHOLE)[:-9], "GZIP_DAMAGED", id="gzip"),
        pytest.param(HEADER.encode() + b"x" * 2_000_000, "ROW_TOO_LONG", id="line"),
    ],
)
def test_a_file_that_is_none_of_the_dialect(rest: httpx.Client, content: bytes, expected: str) -> None:
    answer = rest.post("/v1/files:upload?filename=a.csv", content=content)
    assert reason(answer) == (400, expected), answer.text


def test_a_line_of_200_mb_is_refused_and_the_service_goes_on(rest: httpx.Client) -> None:
    def lines() -> Any:
        yield HEADER.encode()
        for _ in range(200):
            yield b"x" * 1_000_000

    length = str(len(HEADER) + 200_000_000)
    answer = rest.post("/v1/files:upload?filename=a.csv", content=lines(), headers={"content-length": length})
    assert reason(answer) == (400, "ROW_TOO_LONG")
    assert rest.get("/v1/jobs").status_code == 200


def test_a_wrong_checksum(rest: httpx.Client) -> None:
    answer = rest.post(f"/v1/files:upload?filename=a.csv&digest.sha256={'0' * 64}", content=WHOLE)
    assert reason(answer)[1] == "CHECKSUM_MISMATCH", answer.text


def test_a_header_alone_is_a_file_of_no_rows(rest: httpx.Client) -> None:
    answer = rest.post("/v1/files:upload?filename=a.csv", content=HEADER)
    assert answer.json()["files"][0]["rowCount"] == "0"


def test_unknown_ids(rest: httpx.Client) -> None:
    nobody = str(uuid.uuid4())
    assert reason(rest.get(f"/v1/jobs/{nobody}")) == (404, "JOB_NOT_FOUND")
    assert reason(rest.get(f"/v1/jobs/{nobody}:watch")) == (404, "JOB_NOT_FOUND")
    assert reason(rest.get("/v1/jobs/not-a-uuid")) == (400, "INVALID_REQUEST")
    job = {"fileIds": ["0" * 64], "requestId": nobody}
    assert reason(rest.post("/v1/jobs", json=job)) == (404, "FILE_NOT_FOUND")
    assert reason(rest.get(f"/v1/sales/{nobody}")) == (404, "SALE_NOT_FOUND")


def test_a_page_token_of_another_query(loaded: Loaded, rest: httpx.Client) -> None:
    grouped = {"groupBy": "REVENUE_GROUPING_COUNTRY", "pageSize": "1"}
    token = rest.get("/v1/revenue", params=grouped).json()["nextPageToken"]
    other = {"groupBy": "REVENUE_GROUPING_MONTH", "pageSize": "1", "pageToken": token}
    assert reason(rest.get("/v1/revenue", params=other)) == (400, "PAGE_TOKEN_INVALID")


@pytest.mark.parametrize(
    ("token", "expected"),
    [("", "TOKEN_MISSING"), ("Bearer not.a.token", "TOKEN_INVALID")],
)
def test_no_token_and_a_forged_one(edge: str, token: str, expected: str) -> None:
    headers = {"authorization": token} if token else {}
    assert reason(httpx.get(f"http://{edge}/v1/kpis", headers=headers)) == (401, expected)


def test_a_wrong_password_and_an_unknown_user_are_not_told_apart(edge: str) -> None:
    answers = [
        httpx.post(f"http://{edge}/v1/auth:login", json={"username": name, "password": "wrong"}, timeout=20)
        for name in ("admin", "nobody")
    ]
    assert [reason(answer) for answer in answers] == [(401, "CREDENTIALS_INVALID")] * 2
    assert answers[0].content == answers[1].content
