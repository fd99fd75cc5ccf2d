"""`connection objects` and `job objects`: a table that can be sorted and filtered."""

from __future__ import annotations

import json

import pytest

ITEMS = [
    {"name": name, "label": label, "recommended": not reason, "reason": reason, "readable": True, "rows": rows,
     "strategy": strategy, "strategy_detail": detail, "managed": bool(namespace), "namespace": namespace,
     "custom": False, "selected": selected}
    for name, label, reason, rows, strategy, detail, namespace, selected in [
        ("Account", "Account", "", 1200, "query", "", "", True),
        ("npsp__Fund__c", "Fund", "", 0, "query", "", "npsp", False),
        ("AccountShare", "Account Share", "Sharing rows are recalculated.", 7, "query", "", "", False),
        ("Vote", "Vote", "", 9, "parent walk", "ParentId of Idea, 1 at a time", "", True),
    ]
]  # fmt: skip


def names(stdout: str) -> list[str]:
    return [line.split()[0] for line in stdout.splitlines()[1:]]


@pytest.fixture
def listed(cli):
    cli.answers["GET /v1/jobs/nightly/objects"] = {"items": ITEMS}
    cli.answers["GET /v1/connections/acme/objects"] = {"items": [{**each, "selected": None} for each in ITEMS]}
    return cli


def test_the_table_says_records_reasons_strategies_and_packages(listed):
    shown = listed.type("job", "objects", "nightly").stdout.splitlines()
    assert shown[0].split() == ["Object", "Records", "Selected", "Recommended", "Strategy", "Managed"]
    assert shown[1].split() == ["Account", "1,200", "yes", "yes", "query"]
    assert "no: Sharing rows are recalculated." in shown[2]
    assert shown[3].split()[-1] == "npsp"
    assert "parent walk (ParentId of Idea, 1 at a time)" in shown[4]
    assert "Selected" not in listed.type("connection", "objects", "acme").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["Account", "AccountShare", "npsp__Fund__c", "Vote"]),
        (("--sort", "records"), ["Account", "Vote", "AccountShare", "npsp__Fund__c"]),
        (("--sort", "strategy"), ["Vote", "Account", "AccountShare", "npsp__Fund__c"]),
        (("--recommended",), ["Account", "npsp__Fund__c", "Vote"]),
        (("--not-recommended",), ["AccountShare"]),
        (("--search", "fund"), ["npsp__Fund__c"]),
    ],
)
def test_rows_are_sorted_and_filtered(listed, words, expected):
    shown = listed.type("job", "objects", "nightly", *words).stdout
    assert names(shown) == expected


def test_nothing_found_is_said(listed):
    shown = listed.type("job", "objects", "nightly", "--search", "share", "--recommended").stdout
    assert shown == "No object matches.\n"


def test_both_filters_at_once_are_a_mistake(listed):
    result = listed.type("connection", "objects", "acme", "--recommended", "--not-recommended")
    assert result.exit_code == 2


def test_json_prints_what_was_chosen(listed):
    shown = listed.type("connection", "objects", "acme", "--search", "vote", "--json").stdout
    assert [each["name"] for each in json.loads(shown)] == ["Vote"]
