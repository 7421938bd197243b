"""A certificate, its key and the roots as files, for gRPC's xDS client and for Envoy, who read no other way.

All three change at one moment, since a certificate with another's key is worse than an old one: they are written to a
folder of their own, and the symbolic link `current` is then turned to it by a rename.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from pathlib import Path

from mesh.registry import Leaf, Roots

CERTIFICATE, KEY, ROOTS = "cert.pem", "key.pem", "roots.pem"
_KEPT = 2
"""Folders that stay: a reader may be between the files of the last one."""


def write(directory: Path, leaf: Leaf, roots: Roots) -> None:
    """Makes them the current ones of `directory`, which is its owner's alone. Processes may do it side by side.

    Raises OSError; what was current stays, then.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {CERTIFICATE: leaf.chain_pem, KEY: leaf.key_pem, ROOTS: roots.pem}
    name = hashlib.sha256("".join(contents.values()).encode()).hexdigest()[:16]
    version = directory / name
    if not version.exists():
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=directory))
        try:
            for file, content in contents.items():
                with os.fdopen(os.open(made / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
                    opened.write(content)
            made.rename(version)
        except OSError as problem:
            shutil.rmtree(made)
            if problem.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                raise  # else another process was faster, with the same content
    with contextlib.suppress(FileNotFoundError):  # another process has made a newer one current, and forgotten this
        os.utime(version)
    link = directory / f".current-{uuid.uuid4().hex}"
    link.symlink_to(name)
    link.replace(directory / "current")
    if not version.exists():  # forgotten by another process just before
        write(directory, leaf, roots)
    _forget(directory, name)


def _forget(directory: Path, current: str) -> None:
    versions = [path for path in directory.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
    with contextlib.suppress(OSError):  # another process forgets the same ones
        versions.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for old in versions[_KEPT:]:
            if old.name != current:
                shutil.rmtree(old)
