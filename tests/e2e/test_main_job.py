"""Files go in over gRPC and REST, and come out as figures over both."""

import uuid
from decimal import Decimal
from typing import Any

import grpc
import httpx
import jwt
from google.type.money_pb2 import Money
from retail.analytics.v1 import analytics_service_pb2 as analytics
from retail.analytics.v1.analytics_service_pb2_grpc import AnalyticsServiceStub
from retail.sales.v1 import sales_service_pb2 as sales
from retail.sales.v1.sales_service_pb2_grpc import SalesServiceStub

from tests.e2e.conftest import DECEMBER, REVENUE, Loaded, finished
from tests.eventually import eventually_sync

OURS = 'month < "2012-01"'
"""What others have loaded into the platform of this run is later."""

Bearer = tuple[tuple[str, str], ...]


def amount(money: Money) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos).scaleb(-9)


def test_every_row_is_accounted_for(loaded: Loaded) -> None:
    assert loaded.job["state"] == "JOB_STATE_SUCCEEDED", loaded.job
    counts = loaded.job["counts"]
    assert (counts["rowsRead"], counts["rowsAccepted"], counts["rowsDuplicate"]) == ("10", "6", "1")
    assert counts["quarantined"] == [
        {"reason": "QUARANTINE_REASON_ROW_MALFORMED", "rows": "1"},
        {"reason": "QUARANTINE_REASON_QUANTITY_INVALID", "rows": "1"},
        {"reason": "QUARANTINE_REASON_DATE_INVALID", "rows": "1"},
    ]
    by_file = {report["filename"]: report["counts"]["rowsRead"] for report in loaded.job["files"]}
    assert by_file == {"december.csv": "5", "january.csv.gz": "5"}


def test_quarantined_rows_can_be_read_with_their_reasons(loaded: Loaded, rest: httpx.Client) -> None:
    path = f"/v1/jobs/{loaded.job['jobId']}/quarantinedRows"
    first = rest.get(path, params={"pageSize": 2}).json()
    second = rest.get(path, params={"pageSize": 2, "pageToken": first["nextPageToken"]}).json()
    rows = first["rows"] + second["rows"]
    assert [(row["rowNumber"], row["reason"]) for row in rows] == [
        ("3", "QUARANTINE_REASON_QUANTITY_INVALID"),
        ("4", "QUARANTINE_REASON_DATE_INVALID"),
        ("5", "QUARANTINE_REASON_ROW_MALFORMED"),
    ]
    assert rows[0]["fields"]["Quantity" if "Quantity" in rows[0]["fields"] else "quantity"] == "zwölf"
    assert second["nextPageToken"] == ""


async def test_revenue_is_the_same_over_grpc_and_rest(
    loaded: Loaded, channel: grpc.aio.Channel, bearer: Bearer, rest: httpx.Client
) -> None:
    request = analytics.QueryRevenueRequest(group_by=analytics.REVENUE_GROUPING_MONTH, filter=OURS)
    answer = await AnalyticsServiceStub(channel).QueryRevenue(request, metadata=bearer)
    assert {row.key: amount(row.revenue) for row in answer.rows} == REVENUE
    over_rest = rest.get("/v1/revenue", params={"groupBy": "REVENUE_GROUPING_MONTH", "filter": OURS}).json()
    shown = {row["key"]: Decimal(row["revenue"]["units"]) for row in over_rest["rows"]}
    assert shown == {key: value.to_integral_value("ROUND_DOWN") for key, value in REVENUE.items()}
    assert over_rest["tableVersion"] == str(answer.table_version)


async def test_the_best_product_comes_first(loaded: Loaded, rest: httpx.Client) -> None:
    products = rest.get("/v1/products:top", params={"pageSize": 2, "filter": OURS}).json()["products"]
    assert [(product["rank"], product["stockCode"], product["quantity"]) for product in products] == [
        (1, "85123A", "14"),
        (2, "21731", "12"),
    ]


def test_kpis(loaded: Loaded, rest: httpx.Client) -> None:
    kpis = rest.get("/v1/kpis", params={"filter": OURS}).json()["kpis"]
    assert (kpis["rowCount"], kpis["invoiceCount"], kpis["cancelledInvoiceCount"]) == ("6", "4", "1")
    assert (kpis["productCount"], kpis["countryCount"], kpis["customerCount"]) == ("3", "3", "2")


def test_a_product_is_found(loaded: Loaded, rest: httpx.Client) -> None:
    def hits() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = rest.get("/v1/products:search", params={"query": "hangin heart"}).json()["hits"]
        return found

    assert eventually_sync(hits)[0]["stockCode"] == "85123A"


def test_loading_the_same_files_again_changes_nothing(loaded: Loaded, rest: httpx.Client) -> None:
    before = rest.get("/v1/kpis", params={"filter": OURS}).json()["kpis"]
    request = {"fileIds": loaded.job["fileIds"], "requestId": str(uuid.uuid4())}
    again = finished(rest, rest.post("/v1/jobs", json=request).json()["job"]["jobId"])
    assert again["state"] == "JOB_STATE_SUCCEEDED", again
    counts = again["counts"]
    assert (counts["rowsRead"], counts["rowsAccepted"], counts["rowsDuplicate"]) == ("10", "0", "7")
    assert counts["rowsQuarantined"] == "3"
    after = rest.get("/v1/kpis", params={"filter": OURS}).json()["kpis"]
    assert {**after, "tableVersion": "", "commitTime": ""} == {**before, "tableVersion": "", "commitTime": ""}


async def test_a_sale_recorded_over_rest_is_read_over_grpc(
    channel: grpc.aio.Channel, bearer: Bearer, rest: httpx.Client
) -> None:
    price = {"currencyCode": "GBP", "units": "2", "nanos": 550000000}
    sale = {"country": "France", "lines": [{"stockCode": "85123A", "quantity": 4, "unitPrice": price}]}
    recorded = rest.post("/v1/sales", json={"sale": sale, "requestId": str(uuid.uuid4())}).json()["sale"]
    request = sales.GetSaleRequest(sale_id=recorded["saleId"])
    read = (await SalesServiceStub(channel).GetSale(request, metadata=bearer)).sale
    assert amount(read.total) == Decimal("10.2")


def test_the_keys_that_verify_a_token_are_public(edge: str, tokens: dict[str, Any]) -> None:
    keys = httpx.get(f"http://{edge}/.well-known/jwks.json").json()
    assert keys == httpx.get(f"http://{edge}/v1/auth/jwks").json()
    key_id = jwt.get_unverified_header(tokens["accessToken"])["kid"]
    known = {key.key_id: key for key in jwt.PyJWKSet.from_dict(keys).keys}
    claims = jwt.decode(tokens["accessToken"], known[key_id], algorithms=["ES256"], audience="retail-mesh")
    assert "analytics.read" in claims["scope"].split()


def test_a_refresh_token_works_once(edge: str, tokens: dict[str, Any]) -> None:
    url = f"http://{edge}/v1/auth:refresh"
    body = {"refreshToken": tokens["refreshToken"]}
    assert httpx.post(url, json=body).status_code == 200
    again = httpx.post(url, json=body)
    assert (again.status_code, again.json()["details"][0]["reason"]) == (401, "REFRESH_TOKEN_INVALID")


def test_a_viewer_reads_and_does_not_write(edge: str, rest: httpx.Client) -> None:
    user = {"username": f"viewer-{uuid.uuid4().hex[:8]}", "roles": ["ROLE_VIEWER"]}
    assert rest.post("/v1/users", json={"user": user, "password": "a long enough one"}).status_code == 200
    login = {"username": user["username"], "password": "a long enough one"}
    token = httpx.post(f"http://{edge}/v1/auth:login", json=login).json()["tokens"]["accessToken"]
    headers = {"authorization": f"Bearer {token}"}
    assert httpx.get(f"http://{edge}/v1/kpis", headers=headers).status_code == 200
    refused = httpx.post(f"http://{edge}/v1/files:upload?filename=a.csv", content=DECEMBER, headers=headers)
    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (403, "PERMISSION_MISSING")
