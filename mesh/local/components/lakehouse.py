"""The lakehouse: a folder or an object store. A place, not a program."""

import os
import urllib.parse
from pathlib import Path

from mesh.local.components.base import Component, NotReadyError
from mesh.local.supervisor import Program


class Lakehouse(Component):
    """LAKEHOUSE_URI: file:///folder, or an object store (s3://, gs://, abfss://), whose access the services check."""

    name = "lakehouse"
    variable = "LAKEHOUSE_URI"

    def local_url(self) -> str:
        return (self.site.run.path / "lakehouse").as_uri()

    def program(self) -> Program | None:
        return None

    def prepare(self) -> None:
        self.site.run.folder("lakehouse")

    def check(self) -> str:
        parts = urllib.parse.urlsplit(self.url)
        if not parts.scheme:
            raise NotReadyError("it is not a URI like file:///folder or s3://bucket/folder")
        if parts.scheme == "file":
            folder = Path(urllib.parse.unquote(parts.path))
            if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
                raise NotReadyError("it is not a folder this user can write to")
        return ""
