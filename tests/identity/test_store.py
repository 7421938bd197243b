"""A certificate as files: readers see one whole certificate or another, never parts of two."""

import stat
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mesh.identity import store
from mesh.registry import Leaf, Roots


def certificate(number: int) -> tuple[Leaf, Roots]:
    return Leaf(f"chain {number}", f"key {number}", "spiffe://t/ns/default/dc/dc1/svc/a"), Roots("t", f"roots {number}")


def contents(directory: Path) -> tuple[str, str, str]:
    """Read as one reader would who opens the folder once."""
    current = (directory / "current").resolve()
    chain, key, roots = ((current / name).read_text() for name in (store.CERTIFICATE, store.KEY, store.ROOTS))
    return chain, key, roots


def test_its_owner_alone_may_read_it(tmp_path: Path) -> None:
    directory = tmp_path / "identity" / "sales"
    store.write(directory, *certificate(1))
    assert contents(directory) == ("chain 1", "key 1", "roots 1")
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in (directory / "current").resolve().iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_folder_does_not_grow(tmp_path: Path) -> None:
    for number in range(10):
        store.write(tmp_path, *certificate(number))
        assert contents(tmp_path)[0] == f"chain {number}"
    assert len([path for path in tmp_path.iterdir() if path.is_dir() and not path.is_symlink()]) == 2


def test_what_was_current_before_can_be_current_again(tmp_path: Path) -> None:
    for number in (1, 2, 1):
        store.write(tmp_path, *certificate(number))
    assert contents(tmp_path) == ("chain 1", "key 1", "roots 1")


def test_readers_beside_several_writers_never_see_a_mixture(tmp_path: Path) -> None:
    store.write(tmp_path, *certificate(0))
    done = threading.Event()
    seen: list[tuple[str, str, str]] = []

    def read() -> None:
        while not done.is_set():
            try:
                seen.append(contents(tmp_path))
            except FileNotFoundError:
                continue  # two replacements later the folder is gone; a reader opens `current` anew

    def write(first: int) -> None:
        for number in range(first, first + 150):
            store.write(tmp_path, *certificate(number % 7))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 3)]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert seen
    assert all(len({part.rpartition(" ")[2] for part in parts}) == 1 for parts in seen)


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_key_is_not_in_the_representation(chain: str, key: str) -> None:
    secret = f"-----{key}-----"
    assert secret not in repr(Leaf(chain, secret, "")) or secret in repr(chain)
