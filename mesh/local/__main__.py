"""`python -m mesh.local`: get hold of every tool that the project's components need, so that `up` needs no network."""

import sys
from pathlib import Path

from mesh.local import Lines, LocalError, Stack, project_root

if __name__ == "__main__":
    try:
        Stack.load(project_root(Path.cwd())).provide(Lines())
    except LocalError as error:
        sys.exit(str(error))
