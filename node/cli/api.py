"""`conclave api`: what programs need to know of the local API."""

from pathlib import Path

import click

from node.cli.context import common


@click.group()
def api() -> None:
    """The local API, for programs."""


@api.command()
@click.option(
    "--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write here [default: standard output]."
)
@common
def openapi(output: Path | None) -> None:
    """Its description: OpenAPI 3.1, as JSON.

    Needs no daemon; a running one serves the same at /openapi.json.
    """
    import msgspec

    from node.api.openapi import openapi_json

    text = msgspec.json.format(openapi_json(), indent=2).decode()
    if output is None:
        click.echo(text)
        return
    output.write_text(text + "\n", encoding="utf-8")
