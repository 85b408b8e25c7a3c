"""THREAD's algorithms (RFC 5256 §3) against a slow and literal reading of their steps."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postino.imap.responses.thread import thread_response
from postino.imap.threading import Correspondence, ThreadAlgorithm, Threads, make_threads


@dataclass(eq=False)
class Node:
    """A message, or a dummy, with links in both directions."""

    at: int | None = None
    parent: "Node | None" = None
    children: list["Node"] = field(default_factory=list)


def link(parent, child):
    above = parent
    while above is not None:
        if above is child:
            return
        above = above.parent
    child.parent = parent
    parent.children.append(child)


def unlink(child):
    if child.parent is not None:
        child.parent.children.remove(child)
        child.parent = None


def prune(node, is_root_level):
    """What stands in the place of `node` once dummies are gone."""
    node.children = [kept for child in list(node.children) for kept in prune(child, False)]
    for child in node.children:
        child.parent = node
    if node.at is not None:
        return [node]
    if not node.children:
        return []
    if is_root_level and len(node.children) > 1:
        return [node]
    return node.children


def literally(messages, algorithm):
    """RFC 5256 §3, REFERENCES, step by step; REFS leaves out step 5 and sorts by the newest."""

    def when(node):
        if node.at is None:
            return min(when(child) for child in node.children)
        return messages.dates[node.at], node.at

    nodes = [Node(at) for at in range(len(messages.dates))]
    by_id = {}
    for node, own in zip(nodes, messages.ids, strict=True):
        if own and own not in by_id:
            by_id[own] = node
    for node in nodes:  # step 1
        refs = [by_id.setdefault(ref, Node()) for ref in messages.references[node.at].split()]
        for parent, child in pairwise(refs):
            if child.parent is None:
                link(parent, child)
        unlink(node)
        if refs:
            link(refs[-1], node)
    every = [*nodes, *by_id.values()]
    heads = list(dict.fromkeys(node for node in every if node.parent is None))  # step 2
    root = [kept for head in heads for kept in prune(head, True)]  # step 3
    for node in root:
        node.parent = None
    root.sort(key=when)  # step 4
    if algorithm is ThreadAlgorithm.REFERENCES:
        root = merge(root, messages, when)  # step 5
    sort_all(root, when)  # step 6
    if algorithm is ThreadAlgorithm.REFS:
        root.sort(key=newest(when))
    return root


def newest(when):
    def of(node):
        own = [when(node)] if node.at is not None else []
        return max(own + [of(child) for child in node.children])

    return of


def merge(root, messages, when):
    def first(node):
        return node.at if node.at is not None else min(node.children, key=when).at

    def is_reply(node):
        return node.at is not None and messages.replies[node.at]

    table = {}
    for node in root:
        subject = messages.subjects[first(node)]
        if not subject:
            continue
        there = table.get(subject)
        if there is None or (
            there.at is not None and (node.at is None or (is_reply(there) and not is_reply(node)))
        ):
            table[subject] = node
    subject_of = {node: messages.subjects[first(node)] for node in root}
    merged = list(root)
    for node in root:
        subject = subject_of[node]
        there = table.get(subject)
        if not subject or there is node:
            continue
        merged.remove(node)
        if there.at is None and node.at is None:
            there.children += node.children
        elif there.at is None or (is_reply(node) and not is_reply(there)):
            there.children.append(node)
        else:
            dummy = Node(children=[node, there])
            merged[merged.index(there)] = dummy
            table[subject] = dummy
    return merged


def sort_all(nodes, when):
    for node in nodes:
        sort_all(node.children, when)
    nodes.sort(key=when)


def written(nodes):
    """The response's lists, by the words of §4."""

    def members(node):
        text = [str(node.at + 1)] if node.at is not None else []
        if len(node.children) == 1:
            text.append(members(node.children[0]))
        elif node.children:
            text.append("".join(f"({members(child)})" for child in node.children))
        return " ".join(text)

    threads = "".join(f"({members(node)})" for node in nodes)
    return f"* THREAD{' ' + threads if threads else ''}\r\n".encode()


@st.composite
def mailboxes(draw):
    count = draw(st.integers(0, 12))
    ids = st.sampled_from("abcdefghijklm")
    return Correspondence(
        ids=draw(st.lists(st.one_of(ids, st.just("")), min_size=count, max_size=count)),
        references=[" ".join(draw(st.lists(ids, max_size=5))) for _ in range(count)],
        dates=draw(st.lists(st.integers(0, 8), min_size=count, max_size=count)),
        subjects=draw(st.lists(st.sampled_from(["", "X", "Y", "Z"]), min_size=count, max_size=count)),
        replies=draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)),
    )


@settings(max_examples=200)
@given(mailboxes(), st.sampled_from([ThreadAlgorithm.REFERENCES, ThreadAlgorithm.REFS]))
def test_references_as_the_steps_say(messages, algorithm):
    found = make_threads(algorithm, messages)
    numbers = range(1, len(messages.dates) + 1)
    assert thread_response(found, numbers) == written(literally(messages, algorithm))


@settings(max_examples=100)
@given(mailboxes(), st.sampled_from(list(ThreadAlgorithm)))
def test_every_message_is_in_one_thread(messages, algorithm):
    roots, children = make_threads(algorithm, messages)
    seen = [at for root in roots for at in root] + [at for answers in children.values() for at in answers]
    assert sorted(seen) == list(range(len(messages.dates)))


def test_ordered_subject():
    messages = Correspondence(
        ids=(), references=(), dates=[5, 1, 3, 2, 3], subjects=["A", "B", "A", "A", ""], replies=()
    )
    found = make_threads(ThreadAlgorithm.ORDEREDSUBJECT, messages)
    assert thread_response(found, range(1, 6)) == b"* THREAD (2)(4 (3)(1))(5)\r\n"


@pytest.mark.parametrize(
    ("roots", "children", "wire"),
    [
        # RFC 5256 §4's examples, with what each message is called
        ([[2], [3]], {3: [6], 6: [4, 44], 4: [23], 44: [7], 7: [96]}, b"(2)(3 6 (4 23)(44 7 96))"),
        ([[3, 5]], {}, b"((3)(5))"),
        # §3's, in part
        (
            [[174, 175, 176, 178, 181, 180]],
            {},
            b"((174)(175)(176)(178)(181)(180))",
        ),
        (
            [[177, 183, 182, 188, 185, 187]],
            {188: [184, 189], 185: [186]},
            b"((177)(183)(182)(188 (184)(189))(185 186)(187))",
        ),
        ([[194, 195], [197]], {195: [196], 197: [198]}, b"((194)(195 196))(197 198)"),
    ],
)
def test_nested_lists(roots, children, wire):
    assert thread_response(Threads(roots, children), range(200)) == b"* THREAD " + wire + b"\r\n"


def test_nothing_found():
    nothing = Correspondence((), (), (), (), ())
    for algorithm in ThreadAlgorithm:
        assert thread_response(make_threads(algorithm, nothing), ()) == b"* THREAD\r\n"


def test_deep_and_looping_threads_take_neither_stack_nor_quadratic_time():
    count = 20_000
    ids = [f"{at}@x" for at in range(count)]
    for references in (
        ["", *ids[:-1]],
        [*ids[1:], ""],
        [*ids[1:], ids[0]],
        [f"{ids[at - 1]} {ids[at]}" for at in range(count)],
        [" ".join(f"lost{n}@x" for n in range(50))] * count,
    ):
        messages = Correspondence(ids, references, range(count), [""] * count, [0] * count)
        answer = thread_response(make_threads(ThreadAlgorithm.REFERENCES, messages), range(1, count + 1))
        assert answer.count(b"(") == answer.count(b")")
