"""Every transcript, in every way of running it."""

import asyncio
import functools
import tempfile
from pathlib import Path

import pytest
import uvloop

from postino.app.filters import build_filtering
from postino.app.mailbox_scripts import build_mailbox_events
from postino.delivery.settings import SieveSettings
from postino.servers.login_guard import GuardRules
from tests.support.world import open_world, serve_function
from tests.transcripts.runner import (
    HERE,
    PATIENCE_SECONDS,
    Mode,
    Player,
    TlsMaterial,
    Transcript,
    make_tls_material,
    parse_transcript,
)
from tests.transcripts.seeds import SEEDS

TRANSCRIPTS = [parse_transcript(path) for path in sorted(HERE.glob("*/*.txt"))]


@functools.cache
def tls_material() -> TlsMaterial:
    with tempfile.TemporaryDirectory() as directory:
        return make_tls_material(Path(directory))


async def play(transcript: Transcript, mode: Mode, directory: Path) -> None:
    material = tls_material()
    async with open_world(
        directory,
        seed_name=transcript.seed,
        seed=SEEDS[transcript.seed],
        limits=transcript.limits,
        tls_context=material.server,
        rules=GuardRules(first_delay_seconds=0.0),
    ) as world:
        context = world.context
        context.filtering = build_filtering(SieveSettings(), context)
        context.mailbox_events = build_mailbox_events(context, context.filtering.scripts)
        player = Player(transcript, mode, lambda kind: serve_function(context, kind), material)
        await player.play()
        await context.mailbox_events.close(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("transcript", "mode"),
    [
        pytest.param(
            transcript, mode, id=f"{transcript.path.parent.name}-{transcript.path.stem}-{mode.value}"
        )
        for transcript in TRANSCRIPTS
        for mode in transcript.modes
    ],
)
def test_transcript(transcript: Transcript, mode: Mode, tmp_path: Path) -> None:
    # uvloop, because that is what a worker runs: its TLS upgrade differs from asyncio's own.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play(transcript, mode, tmp_path / "data"))
