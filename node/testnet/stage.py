"""The stage: the folder, the screen and the imports of a run, and what becomes of them however it ends."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from node.api.listener import PATH_SIZE_MAX
from node.testnet.processes import Run, interruptible
from node.testnet.table import Screen, open_screen

SHORT_FOLDER: Final = Path("/tmp")  # noqa: S108 - where TMPDIR is too long for the path of a unix socket


@contextmanager
def open_stage(longest: str, *, is_json: bool) -> Iterator[tuple[Path, Screen]]:
    """A fresh folder, `longest` being the longest name of a node's folder in it, and a screen that is closed.

    Interrupted, nothing is left behind; after any other error the folder is kept and named.
    """
    folder = make_folder(longest)
    screen = open_screen(is_json=is_json)
    try:
        with interruptible():
            yield folder, screen
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except BaseException:
        click.echo(f"the nodes' folders are kept: {folder}", err=True)
        raise
    finally:
        screen.close()


def make_folder(longest: str) -> Path:
    """A fresh folder of this run, short enough for the unix sockets in it."""
    folder = Path(tempfile.mkdtemp(prefix="conclave-"))
    if len(str(folder / longest / "api.sock").encode()) > PATH_SIZE_MAX:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="conclave-", dir=SHORT_FOLDER))
    return folder


def imported() -> Run:
    """Everything a node needs, imported once for all of them."""
    import node.service  # noqa: F401 - the daemon imports it late, each child would do so again
    from node import daemon

    daemon.preload()
    return daemon.run
