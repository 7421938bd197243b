"""Versions of gold tables, in a real Delta table."""

import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable

from services.gold import NOT_LOADED, GoldTable, LakeUnavailableError, Version, VersionGoneError
from services.lakehouse import FACT_SALE, Lakehouse
from tests.gold_lake import Fact, GoldLake


@pytest.fixture
def lake(tmp_path: Path) -> GoldLake:
    return GoldLake(tmp_path / "a lake, 100% ünusual")


def table(lake: GoldLake) -> GoldTable:
    return GoldTable(Lakehouse(lake.uri), FACT_SALE)


def quantities(gold: GoldTable, version: Version) -> list[int]:
    return gold.rows(version, ["quantity"]).column("quantity").to_pylist()  # type: ignore[no-any-return]


def test_every_version_is_read_as_it_was_committed(lake: GoldLake) -> None:
    gold = table(lake)
    versions = []
    assert gold.newest() == NOT_LOADED
    for number in range(4):
        lake.write_facts([Fact(quantity=number)])
        versions.append(gold.newest())
    assert [version.number for version in versions] == [0, 1, 2, 3]
    another = table(lake)
    for number in (2, 0, 3, 1):
        assert quantities(another, versions[number]) == [number]


def test_a_version_is_one_thing_while_the_table_is_written(lake: GoldLake) -> None:
    """Version n holds n + 1 rows."""
    lake.write_facts([Fact()])

    def write() -> None:
        for rows in range(2, 20):
            lake.write_facts([Fact()] * rows)

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    gold = table(lake)
    while writer.is_alive():
        version = gold.newest()
        assert len(quantities(gold, version)) == version.number + 1
        seen |= {version, table(lake).newest()}
    writer.join()
    assert len({version.number for version in seen}) == len(seen)
    assert gold.newest().number == 18


def test_a_table_made_anew_is_another_one(lake: GoldLake) -> None:
    gold = table(lake)
    lake.write_facts([Fact(quantity=1)])
    old = gold.newest()
    lake.drop("fact_sale")
    assert gold.newest() == NOT_LOADED
    with pytest.raises(VersionGoneError):
        gold.rows(old, ["quantity"])
    lake.write_facts([Fact(quantity=2)])
    new = gold.newest()
    assert (new.number, quantities(gold, new)) == (0, [2])
    with pytest.raises(VersionGoneError):
        gold.rows(old, ["quantity"])


@pytest.mark.parametrize("number", [-1, 1, 2**52, 2**63 - 1])
@pytest.mark.timeout(20)
def test_a_version_that_never_was_is_gone_at_once(lake: GoldLake, number: int) -> None:
    lake.write_facts([Fact()])
    with pytest.raises(VersionGoneError):
        table(lake).rows(Version(number, 1), ["quantity"])


def test_a_version_whose_files_are_vacuumed_is_gone(lake: GoldLake) -> None:
    gold = table(lake)
    lake.write_facts([Fact()])
    old = gold.newest()
    lake.write_facts([Fact()])
    lake.vacuum("fact_sale")
    with pytest.raises(VersionGoneError):
        gold.rows(old, ["quantity"])


def test_a_log_that_was_cleaned_up_keeps_the_newest_version(lake: GoldLake) -> None:
    gold = table(lake)
    for number in range(4):
        lake.write_facts([Fact(quantity=number)])
        if number == 1:
            old = gold.newest()
    DeltaTable(lake.path("fact_sale")).create_checkpoint()
    for commit in sorted(lake.path("fact_sale").glob("_delta_log/*.json"))[:-1]:
        commit.unlink()
    for reader in (gold, table(lake)):
        assert quantities(reader, reader.newest()) == [3]
        with pytest.raises(VersionGoneError):
            reader.rows(old, ["quantity"])


def test_a_lake_that_is_away_is_not_an_empty_one(lake: GoldLake) -> None:
    gold = table(lake)
    lake.write_facts([Fact()])
    version = gold.newest()
    lake.go_away()
    for reader in (gold, table(lake)):
        with pytest.raises(LakeUnavailableError):
            reader.newest()
        with pytest.raises(LakeUnavailableError):
            reader.rows(version, ["quantity"])
    lake.come_back()
    assert gold.newest() == version


@pytest.mark.parametrize("first", ["", "{", "[]", '{"commitInfo": {}}', '{"commitInfo": {"timestamp": null}}'])
def test_a_commit_that_does_not_say_its_time_is_unavailable(lake: GoldLake, first: str) -> None:
    lake.write_facts([Fact()])
    (commit,) = lake.path("fact_sale").glob("_delta_log/*.json")
    _, _, rest = commit.read_text().partition("\n")
    commit.write_text(f"{first}\n{rest}")
    with pytest.raises(LakeUnavailableError):
        table(lake).newest()
