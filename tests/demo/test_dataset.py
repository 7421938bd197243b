"""The made-up shop: always the same, and with every oddity that the dialect has."""

import hashlib
from pathlib import Path

from retail.ingest.v1.ingest_service_pb2 import QuarantineReason

from demo import dataset
from demo.recompute import recompute

ROWS = 24_000


def content(folder: Path, rows: int, seed: int) -> list[tuple[str, str]]:
    return [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in dataset.write(folder, rows, seed)]


def test_one_seed_one_result(tmp_path: Path) -> None:
    first = content(tmp_path / "a", 1000, 1)
    assert content(tmp_path / "b", 1000, 1) == first
    assert content(tmp_path / "c", 1000, 2) != first


def test_it_has_as_many_rows_as_asked_and_one_of_each_reason(tmp_path: Path) -> None:
    figures = recompute(dataset.write(tmp_path, ROWS))
    assert sum(file.rows for file in figures.files.values()) == ROWS
    reasons = {reason for file in figures.files.values() for reason in file.quarantined}
    known = {name.removeprefix("QUARANTINE_REASON_") for name in QuarantineReason.keys()}  # noqa: SIM118
    assert reasons == known - {"UNSPECIFIED"}
    assert 0 < figures.row_count < sum(file.sound for file in figures.files.values())  # there are duplicates


def test_it_has_the_oddities(tmp_path: Path) -> None:
    paths = dataset.write(tmp_path, ROWS)
    assert {path.suffix for path in paths} == {".csv", ".gz"}
    plain = [path.read_bytes() for path in paths if path.suffix == ".csv"]
    text = b"".join(plain).decode("cp1252", errors="replace")
    text = text.replace("\r", "").replace("\n", "\n,")  # so that every field has a comma before it
    oddities = (",C6", ",A6", ",POST", "Gift Voucher", ".0,", ",-", "damaged?", '""SET OF', "Adjust bad debt", ",0.0,")
    assert [oddity for oddity in oddities if oddity not in text] == []
    encodings = set()
    for part in plain:
        try:
            part.decode("utf-8")
            encodings.add("utf-8")
        except UnicodeDecodeError:
            encodings.add("cp1252")
    assert encodings == {"utf-8", "cp1252"}
