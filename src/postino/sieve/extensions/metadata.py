"""mboxmetadata and servermetadata: annotations of mailboxes and of the server.

RFC: 5490 §3.3 (metadata), §3.4 (metadataexists), §4.1 (servermetadata), §4.2 (servermetadataexists).
Not here: whose annotations may be read (Surroundings).
"""

from typing import TYPE_CHECKING, Final

from postino.sieve.texts import all_told_of, told_of
from postino.sieve.vocabulary import Check, Extension, Takes, TestSpec

if TYPE_CHECKING:
    from postino.sieve.bound import Bound
    from postino.sieve.compiler import Compiling
    from postino.sieve.run import Run


def _metadata(compiling: "Compiling", bound: "Bound") -> Check:
    compare = compiling.matching(bound, bound.texts["keys"]).values
    annotation = bound.text("annotation")
    mailbox = bound.text("mailbox") if "mailbox" in bound.texts else None
    _check_names(compiling, bound, "annotation")

    def metadata(run: "Run") -> bool:
        of = told_of(mailbox, run) if mailbox is not None else None
        value = run.surroundings.metadata(of, told_of(annotation, run))
        return value is not None and compare(run, (value,))

    return metadata


def _metadataexists(compiling: "Compiling", bound: "Bound") -> Check:
    annotations = bound.texts["annotations"]
    mailbox = bound.text("mailbox") if "mailbox" in bound.texts else None
    _check_names(compiling, bound, "annotations")

    def metadataexists(run: "Run") -> bool:
        of = told_of(mailbox, run) if mailbox is not None else None
        return all(run.surroundings.metadata(of, name) is not None for name in all_told_of(annotations, run))

    return metadataexists


def _check_names(compiling: "Compiling", bound: "Bound", parameter: str) -> None:
    for text in bound.texts[parameter]:
        if isinstance(text, str) and not text.lower().startswith(("/shared/", "/private/")):
            compiling.warn(
                bound.node, f"There is no annotation {text!r}: they begin with /shared/ or /private/."
            )


MBOXMETADATA: Final = Extension(
    name="mboxmetadata",
    tests=(
        TestSpec(
            name="metadata",
            params=(("mailbox", Takes.STRING), ("annotation", Takes.STRING), ("keys", Takes.STRINGS)),
            matches=True,
            compile=_metadata,
        ),
        TestSpec(
            name="metadataexists",
            params=(("mailbox", Takes.STRING), ("annotations", Takes.STRINGS)),
            compile=_metadataexists,
        ),
    ),
)
SERVERMETADATA: Final = Extension(
    name="servermetadata",
    tests=(
        TestSpec(
            name="servermetadata",
            params=(("annotation", Takes.STRING), ("keys", Takes.STRINGS)),
            matches=True,
            compile=_metadata,
        ),
        TestSpec(
            name="servermetadataexists",
            params=(("annotations", Takes.STRINGS),),
            compile=_metadataexists,
        ),
    ),
)
