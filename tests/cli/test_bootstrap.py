"""`meshctl bootstrap`: the files, and that nothing secret is printed. What they are good for: tests/foreign."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from cryptography import x509

from tests.cli.conftest import Project
from tests.cli.test_certs import rotate
from tests.eventually import eventually_sync

LIST = "retail.sales.v1.SalesService/ListSales"


def test_the_files_are_there_and_their_owners_alone(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    status, printed, said = project.meshctl("bootstrap", "--service", "reports", "--out", str(folder))
    assert status == 0
    assert printed == f"GRPC_XDS_BOOTSTRAP={folder / 'bootstrap.json'}\n"
    assert "/svc/reports until " in said
    assert "it may call nothing yet" in said

    bootstrap = json.loads((folder / "bootstrap.json").read_text())
    assert bootstrap["node"]["cluster"] == "reports"
    files = bootstrap["certificate_providers"]["mesh"]["config"]
    (certificate, *_) = x509.load_pem_x509_certificates(Path(files["certificate_file"]).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uri.endswith("/svc/reports")
    for name in ("certificate_file", "private_key_file", "ca_certificate_file"):
        path = Path(files[name])
        assert path.is_absolute()
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_text() not in printed + said
    assert (folder / "identity" / ".gitignore").read_text() == "*\n"
    assert (folder / "identity").stat().st_mode & 0o777 == 0o700


def test_it_may_call_what_is_named(project: Project, tmp_path: Path) -> None:
    destinations = ("--call", "sales", "--call", "search")
    status, _, said = project.meshctl("bootstrap", "--service", "team", "--out", str(tmp_path / "team"), *destinations)
    assert status == 0
    assert "it may call sales, search\n" in said
    assert project.meshctl("intentions", "check", "team", LIST)[0] == 0
    assert project.meshctl("intentions", "check", "edge", LIST)[0] == 0


def test_the_certificate_is_renewed_while_it_watches(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "watched"
    meshctl = Path(sys.executable).with_name("meshctl")
    environment = {**os.environ, "MESH_RUN_DIR": str(project.stack.run.path)}
    with subprocess.Popen(
        [meshctl, "bootstrap", "--service", "watched", "--out", folder, "--watch"],
        cwd=project.root, env=environment, stdout=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        try:
            assert watching.stdout
            while "certificate taken" not in watching.stdout.readline():
                assert watching.poll() is None
            before = (folder / "identity" / "current" / "roots.pem").read_text()
            rotate(project.stack.environment["CONSUL_HTTP_ADDR"])
            eventually_sync(lambda: (folder / "identity" / "current" / "roots.pem").read_text() != before, 30)
            watching.send_signal(signal.SIGINT)
            assert watching.wait(10) == 0
        finally:
            watching.kill()


def test_mistakes_are_one_line(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, _, said = project.meshctl("bootstrap", "--service", "reports", "--out", str(tmp_path / "file"))
    assert status == 1
    assert "file" in said
    assert project.meshctl("bootstrap", "--service", "Not a name")[0] == 1
