"""What a revert changes, in words."""

from __future__ import annotations

from vmsnapshot.frontends.dynamic._changes import changes_in_words


def test_each_change_has_its_line() -> None:
    """What is added, removed and changed is told by its path, and what isn't known."""
    live = {
        "numCPUs": 8,
        "annotation": "as it is",
        "disks": {"2000": {"GiB": 16, "label": "Hard disk 1"}, "2001": {"GiB": 100}},
        "networkAdapters": {"a.b": {"network": 'the "old" one'}},
        "settings": {'a "b"': "x", "c.\\": "y"},
    }
    after = {
        "numCPUs": 2,
        "disks": {"2000": {"GiB": 16, "label": "Hard disk 1"}},
        "networkAdapters": {"a.b": {"network": "new"}, "4001": {"network": "new"}},
        "settings": {'a "b"': "z", "c.\\": "w"},
        "notKnown": ["annotation"],
    }
    lines = changes_in_words({"web-1": live, "web-2": live}, {"web-1": after, "web-2": live, "web-3": after})
    assert lines.splitlines() == [
        'What changes on VM "web-1":',
        "  ~ numCPUs: 8 => 2",
        '  - disks["2001"]: {"GiB": 100}',
        '  ~ networkAdapters["a.b"].network: "the \\"old\\" one" => "new"',
        '  + networkAdapters["4001"]: {"network": "new"}',
        '  ~ settings["a \\"b\\""]: "x" => "z"',
        '  ~ settings["c.\\"]: "y" => "w"',
        '  + notKnown: ["annotation"]',
    ]
