"""What strangers and hijacked accounts try at our ports, and what they get."""

from pathlib import Path

from tests.unit.servers.test_fates import Place, play


def test_an_address_that_leads_back_to_a_sender_relays_nothing_but_reports(tmp_path: Path) -> None:
    """Whoever is behind a forward learns rewritten addresses of anybody he names in MAIL."""

    async def scenario(place: Place) -> None:
        await place.receive("team@example.org", mail="victim@client.example")
        await place.world.until_empty()
        (learnt,) = [one.reverse_path for one in place.far.messages]
        assert learnt.startswith("SRS0=")
        refused = await place.receive(learnt, mail="spammer@evil.example")
        assert refused[0].startswith("550 5.7.1 This address leads reports back")
        refused = await place.submit(learnt)
        assert refused[0].startswith("550 5.7.1")
        assert not place.client.messages
        report = await place.receive(learnt, mail="")
        assert report[-1].startswith("250")
        await place.world.until_empty()
        assert [to for one in place.client.messages for to, _ in one.recipients] == ["victim@client.example"]

    play(tmp_path, scenario)
