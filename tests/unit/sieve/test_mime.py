"""RFC 5703: tests of parts, loops, text of parts, replacing and enclosing, with its examples by section."""

import pytest

from postino.mime.part import walk
from postino.sieve import (
    BadScript,
    Budget,
    Circumstances,
    Edited,
    Evaluation,
    FileInto,
    Keep,
    Redirect,
    SieveMessage,
    compile_script,
    run,
)
from tests.unit.sieve.scripting import done, holds

MESSAGE = (
    b"From: boss@example.org\r\nSubject: Report\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=out\r\n\r\n"
    b"--out\r\nContent-Type: multipart/alternative; boundary=in\r\n\r\n"
    b"--in\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"R3LDvMOfZQ==\r\n"
    b"--in\r\nContent-Type: text/html\r\nContent-MD5: x\r\n\r\n<p>Hello</p>\r\n--in--\r\n"
    b"--out\r\nContent-Type: application/pdf\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''very%20important.pdf\r\n"
    b"Content-From: tim@example.com\r\n\r\nPDF\r\n"
    b"--out\r\nContent-Type: message/rfc822\r\n\r\n"
    b"Subject: Inside\r\nContent-Type: text/plain; charset=none-such\r\n\r\nText\r\n"
    b"--out--\r\n"
)
ALL = '"mime", "foreverypart", "variables", "extracttext", "replace", "enclose", "fileinto", "copy"'


def _run(script: str, message: bytes = MESSAGE) -> Evaluation:
    facts = Circumstances(envelope_to="bob@example.com", now=1_795_428_000.0)
    found = run(compile_script(f"require [{ALL}];\r\n{script}".encode()), message, facts)
    assert found.fault is None, found.fault
    return found


def _become(script: str, message: bytes = MESSAGE) -> tuple[bytes, bytes]:
    kept = _run(script, message).actions[-1]
    assert isinstance(kept, Keep | FileInto)
    assert kept.edited is not None
    body = kept.edited.body
    return kept.edited.header, bytes(SieveMessage.of(message).body) if body is None else body


@pytest.mark.parametrize(
    ("test", "answer"),
    [
        # §4.1
        ('header :mime :type "Content-Type" "multipart"', True),
        ('header :mime :type "Content-Type" "image"', False),
        ('header :mime :subtype "Content-Type" "mixed"', True),
        ('header :mime :anychild :contenttype "Content-Type" "text/html"', True),
        ('header :mime :contenttype "Content-Type" "text/html"', False),
        ('header :mime :anychild :param "filename" :contains "Content-Disposition" "important"', True),
        ('header :mime :anychild :param ["x", "FileName"] "Content-Disposition" "very important.pdf"', True),
        ('header :mime :param "boundary" "Content-Type" "out"', True),
        ('header :mime :anychild :type "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :contenttype "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :subtype "Content-Disposition" ""', True),
        ('header :mime :type "Subject" ""', True),
        ('header :mime :anychild "Subject" "Inside"', True),
        ('header "Subject" "Inside"', False),
        # §4.2
        ('address :mime :is :all "content-from" "tim@example.com"', False),
        ('address :mime :anychild :is :all "content-from" "tim@example.com"', True),
        # §4.3
        ('exists :mime :anychild "content-md5"', True),
        ('exists :mime "content-md5"', False),
    ],
)
def test_section_4(test: str, answer: bool) -> None:
    assert holds(test, "mime", message=MESSAGE) is answer


@pytest.mark.parametrize(
    ("script", "found"),
    [
        # §3: every part, in order, containers too
        ('foreverypart { if header :mime :matches :contenttype "content-type" "*" { fileinto "${1}"; } }',
         ["multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf",
          "message/rfc822"]),
        ('foreverypart { if header :mime :type "content-type" "text" { fileinto "A"; break; } fileinto "B"; }',
         ["B", "A"]),
        # an inner loop goes through what is in the part
        ("""foreverypart { if header :mime :subtype "content-type" "alternative" {
              foreverypart { if header :mime :matches :subtype "content-type" "*" { fileinto "${1}"; } } } }""",
         ["plain", "html"]),
        ("""foreverypart :name "a" { fileinto "A"; foreverypart :name "b" { fileinto "B"; break :name "a"; } }
            fileinto "C";""", ["A", "B", "C"]),
        ("""foreverypart :name "a" { if exists :mime "content-md5" { break; }
              foreverypart :name "a" { fileinto "${x}."; set "x" "${x}1"; break :name "a"; } }""",
         [".", "1."]),
        ('foreverypart { stop; } fileinto "A";', []),
        # what tests see in a loop without :mime, and with :anychild
        ("""foreverypart { if header "subject" "Report" { fileinto "${x}"; set "x" "${x}x"; }
              if exists :mime "content-md5" { break; } }""", ["x", "xx", "xxx", "xxxx"]),
        ("""foreverypart { if allof (exists :mime :anychild "content-md5",
              header :mime :matches :subtype "content-type" "*") { fileinto "${1}"; } }""",
         ["mixed", "alternative", "html"]),
        # §4.1's last example
        ("""foreverypart { if allof (header :mime :param "filename" :contains "Content-Disposition" "important",
              header :mime :subtype "Content-Type" "pdf", size :over 100) { fileinto "INBOX.important"; break; } }
         """, ["INBOX.important"]),
    ],
)  # fmt: skip
def test_section_3(script: str, found: list[str]) -> None:
    script = script.replace('fileinto "${x}";', 'fileinto "x${x}";')
    filed = [action.target.mailbox for action in _run(script).actions if isinstance(action, FileInto)]
    assert filed == found


@pytest.mark.parametrize(
    ("tags", "kind", "text"),
    [
        ("", "text/plain", "Grüße"),
        (":first 3", "text/plain", "Grü"),
        (":upper :first 2", "text/plain", "GR"),
        (":length", "text/plain", "5"),
        ("", "text/html", "<p>Hello</p>"),
        ("", "application/pdf", ""),
        ("", "multipart/mixed", ""),
    ],
)
def test_section_7(tags: str, kind: str, text: str) -> None:
    script = f"""foreverypart {{ if header :mime :contenttype "content-type" "{kind}" {{
        extracttext {tags} "t"; fileinto ".${{t}}"; break; }} }}"""
    filed = _run(script).actions[0]
    assert isinstance(filed, FileInto)
    assert filed.target.mailbox == f".{text}"


def test_a_charset_nobody_knows_gives_no_text() -> None:
    assert _run('foreverypart { extracttext "t"; } fileinto ".${t}";').actions[0].target.mailbox == "."  # type: ignore[attr-defined]


def test_section_5_one_part_is_replaced_and_the_others_stay() -> None:
    header, body = _become(
        """foreverypart { if header :mime :contenttype "content-type" "application/pdf" {
        replace "Removed."; } }"""
    )
    assert header == SieveMessage.of(MESSAGE).header
    whole = header + body
    start, end = (
        MESSAGE.index(b"Content-Type: application/pdf"),
        MESSAGE.index(b"\r\n--out\r\nContent-Type: mess"),
    )
    assert whole == (
        MESSAGE[:start] + b"Content-Type: text/plain; charset=utf-8\r\n\r\nRemoved." + MESSAGE[end:]
    )


def test_a_container_that_was_replaced_is_not_gone_into() -> None:
    script = """foreverypart { if header :mime :matches :contenttype "content-type" "*" { fileinto "${1}"; }
        if header :mime :subtype "content-type" "alternative" {
          replace :mime "Content-Type: multipart/mixed; boundary=new\r\n\r\n--new\r\n\r\nx\r\n--new--\r\n"; } }"""
    actions = _run(script).actions
    filed = [action.target.mailbox for action in actions if isinstance(action, FileInto)]
    assert filed == [
        "multipart/mixed",
        "multipart/alternative",
        "application/pdf",
        "message/rfc822",
        "text/plain",
    ]
    header, body = _become(script + 'keep; fileinto "last";')
    kinds = [f"{part.media_type}/{part.media_subtype}" for part in walk(SieveMessage(header, body).root)]
    assert kinds == [
        "multipart/mixed", "multipart/mixed", "text/plain", "application/pdf", "message/rfc822", "text/plain"
    ]  # fmt: skip


def test_the_whole_message_is_replaced_but_for_its_other_fields() -> None:
    header, body = _become('replace :subject "Neu für dich" :from "Ann <ann@example.org>" "Gone.";')
    assert body == b"Gone."
    assert header == (
        b"Original-From: boss@example.org\r\nOriginal-Subject: Report\r\nMIME-Version: 1.0\r\n"
        b"Subject: =?utf-8?B?TmV1IGbDvHIgZGljaA==?=\r\nFrom: Ann <ann@example.org>\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    )


def test_a_message_without_an_empty_line_can_be_replaced() -> None:
    header, body = _become('replace "New.";', b"Subject: x")
    assert header + body == (
        b"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nNew."
    )


@pytest.mark.parametrize("text", ["--out\r\nEvil", "x\r\n--out--\r\ny", "--in"])
def test_a_text_cannot_end_the_part_it_replaces(text: str) -> None:
    header, body = _become(
        f"""foreverypart {{ if header :mime :subtype "content-type" "plain" {{ replace "{text}"; }} }}"""
    )
    parts = list(walk(SieveMessage(header, body).root))
    assert len(parts) == len(list(walk(SieveMessage.of(MESSAGE).root)))
    found = done(
        f"""require ["mime", "foreverypart", "replace"]; foreverypart {{
        if header :mime :subtype "content-type" "plain" {{ replace :mime "Content-Type: text/plain\r\n\r\n{text}";
        }} }}""",
        MESSAGE,
    )
    assert found == ["fault: the replacement has a line that would end the part it replaces"]


def test_section_6_the_message_is_enclosed_octet_for_octet() -> None:
    header, body = _become('enclose :subject "Warning" :headers ["From"] "Beware!";')
    assert header.startswith(b"From: boss@example.org\r\nSubject: Warning\r\nDate: ")
    assert b"\r\nContent-Type: multipart/mixed;" in header
    enclosing = SieveMessage(header, body)
    text, inside = enclosing.root.parts
    assert enclosing.octets(text.body_start, text.end) == b"Beware!"
    assert (inside.media_type, inside.media_subtype) == ("message", "rfc822")
    assert enclosing.octets(inside.body_start, inside.end) == MESSAGE


def test_without_headers_date_and_from_are_made_and_the_subject_stays() -> None:
    header, _ = _become('enclose "Beware!";')
    assert header.startswith(b"Subject: Report\r\nDate: ")
    assert b"\r\nFrom: <bob@example.com>\r\n" in header


def test_section_6_redirect_does_not_send_what_encloses() -> None:
    script = 'redirect :copy "a@example.org"; enclose "x"; redirect :copy "b@example.org"; fileinto "A";'
    before, after, filed = _run(script).actions
    assert isinstance(before, Redirect)
    assert isinstance(after, Redirect)
    assert before.edited is None
    assert after.edited is None
    assert isinstance(filed, FileInto)
    assert isinstance(filed.edited, Edited)


def test_a_loop_goes_on_behind_an_enclose() -> None:
    script = """foreverypart { if header :mime :matches :contenttype "content-type" "*" { fileinto "${1}"; }
        if exists :mime "content-md5" { enclose "x"; } }"""
    filed = [action.target.mailbox for action in _run(script).actions if isinstance(action, FileInto)]
    assert filed[3:] == ["text/html", "application/pdf", "message/rfc822"]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("break;", "inside foreverypart only"),
        ('foreverypart { break :name "x"; }', "no loop with this name"),
        ('foreverypart :name "x" { } break :name "x";', "no loop with this name"),
        ("foreverypart;", "needs a block"),
        ('extracttext "x";', "inside foreverypart only"),
        ('foreverypart { extracttext "1"; }', "cannot be a variable"),
        ('if header :anychild "a" "b" { stop; }', ":anychild counts for :mime"),
        ('if header :type "a" "b" { stop; }', ":type counts for :mime"),
        ('if header :mime :type :subtype "a" "b" { stop; }', "exclude each other"),
        ('replace :mime :subject "x" "y";', "remove one"),
        ('replace :from "nobody" "y";', "is no address"),
        ("enclose;", "enclose takes"),
    ],
)
def test_what_cannot_be_compiled(script: str, words: str) -> None:
    with pytest.raises(BadScript, match=words):
        compile_script(f"require [{ALL}]; {script}".encode())


def test_a_script_that_encloses_for_ever_is_ended() -> None:
    script = compile_script((f"require [{ALL}]; " + 'enclose "x";' * 3000).encode())
    assert run(script, MESSAGE, budget=Budget(steps=10_000)).fault is not None


@pytest.mark.parametrize("now", [3e11, 1e18, 1e300, float("inf"), float("nan"), -7e10])
def test_a_clock_without_a_date_ends_the_script_and_keeps_the_message(now: float) -> None:
    script = compile_script(b'require "enclose"; enclose "x";')
    made = run(script, MESSAGE, Circumstances(now=now, zone_minutes=60))
    assert [type(action) for action in made.actions] == [Keep]
    assert made.fault is not None


def test_finding_the_parts_anew_after_each_edit_is_counted() -> None:
    script = 'require ["foreverypart","editheader"]; foreverypart { addheader "X" "y"; }'
    parts = b"--x\r\n\r\n" + b"a" * 90 + b"\r\n"
    message = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + parts * 100 + b"--x--\r\n"
    found = run(compile_script(script.encode()), message)
    assert found.fault is None
    assert found.steps > 100 * len(message) // 64


def test_what_replaces_has_no_control_characters_in_its_fields() -> None:
    header, _ = _become('replace :mime "Content-Type: text/plain; a=\x1b[31m\x7f\r\n\r\nx";')
    assert b"a=[31m\r\n" in header
