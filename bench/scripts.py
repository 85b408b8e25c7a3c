"""Sieve scripts to measure with: a hundred rules as people have them, different for each number.

Invariants: script(n) depends on nothing but n; messages of the corpus match none of the first 99 rules, so that
    all of them are tried; the last files in SORTED.
Not here: messages (corpus.py).
"""

from typing import Final

RULES: Final = 100
SORTED: Final = "Sorted"
_KINDS: Final = 5


def _rule(number: int, word: str) -> str:
    target = f'fileinto "Folder {number}"; stop;'
    match number % _KINDS:
        case 0:
            return f'if header :contains "subject" ["{word} offer", "{word} invoice"] {{ {target} }}'
        case 1:
            return f'if address :is :domain "from" "{word}.shop.example" {{ {target} }}'
        case 2:
            return f'if header :contains "list-id" "<{word}.lists.example>" {{ {target} }}'
        case 3:
            return (
                f'if allof (address :is ["to", "cc"] "{word}@team.example", size :under {number + 1}M)'
                f" {{ {target} }}"
            )
        case _:
            return (
                f'if anyof (header :matches "subject" "*[{word}]*", envelope :is "from" "{word}@bounce.example")'
                f' {{ addflag "\\\\Flagged"; {target} }}'
            )


def script(number: int, *, rules: int = RULES) -> bytes:
    """One account's script."""
    tried = [_rule(rule, f"word{rule}of{number}") for rule in range(rules - 1)]
    head = 'require ["fileinto", "envelope", "imap4flags"];'
    return "\r\n".join([head, *tried, f'fileinto "{SORTED}";', ""]).encode()
