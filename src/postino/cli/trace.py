"""`postino trace`: why a message is where it is.

Not here: what is written down (delivery/), for how long (store/trace.py).
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postino.cli.options import data_options, open_data, require_account, show_table

if TYPE_CHECKING:
    from postino.store.trace import Traced
    from postino.store.tx import Tx


@click.command(epilog="Example: postino trace ann@example.org --last 20")
@click.argument("account")
@click.argument("message", required=False)
@click.option(
    "--last", type=click.IntRange(1, 10_000), default=20, show_default=True, help="How many messages."
)
@data_options
def trace(account: str, message: str | None, last: int, data: Path | None, config: Path | None) -> None:
    """Tell what scripts did with the last messages for ACCOUNT, or with one, and which line decided.

    MESSAGE is this server's name for it: the id in its own Received field, and `message` in the log. Messages
    that no script decided about are not listed; they are in INBOX, or in Junk when they were marked.
    """
    from postino.core.errors import StoreError
    from postino.store.trace import recent_traces, trace_of

    def look(tx: "Tx") -> "list[Traced]":
        account_id = require_account(tx, account).id
        if message is None:
            return recent_traces(tx, account_id, last)
        found = trace_of(tx, account_id, message)
        if found is None:
            raise StoreError(
                f"No script of {account} decided about a message {message}, or that is too long ago; "
                f"`postino trace {account}` lists those there were"
            )
        return [found]

    with open_data(data, config) as store:
        found = store.read_now(look)
    show_table(
        ["time", "message", "line", "what was done"],
        [
            [
                _time(traced),
                traced.message_id,
                f"{event.script}:{event.line}" if event.line else "-",
                event.words,
            ]
            for traced in found
            for event in traced.events
        ],
        empty=f"No script decided about mail for {account} lately.",
    )


def _time(traced: "Traced") -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(traced.at, UTC):%Y-%m-%d %H:%M:%S}"
