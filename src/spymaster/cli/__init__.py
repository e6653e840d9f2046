"""The command line: every verb of the way, in its order."""

from __future__ import annotations

import sys

from spymaster.cli import alerts as _alerts  # noqa: F401  (its verb)
from spymaster.cli import dashboard as _dashboard  # noqa: F401  (its verb)
from spymaster.cli import learning as _learning  # noqa: F401  (its verbs)
from spymaster.cli import serving as _serving  # noqa: F401  (its verb)
from spymaster.cli import streaming as _streaming  # noqa: F401  (its verbs)
from spymaster.cli.app import app
from spymaster.cli.console import errors
from spymaster.errors import SpymasterError

__all__ = ["app", "main"]


def main() -> None:
    """Run a command; what a user can act on is one line on stderr and exit code 1."""
    try:
        app()
    except SpymasterError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
    except OSError as error:
        errors.print(
            f"error: {error.filename or 'input or output'}: {error.strerror or error}. "
            "Check the disk, the path and its permissions.",
            style="red",
            markup=False,
            soft_wrap=True,
        )
        sys.exit(1)
