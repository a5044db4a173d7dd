"""How much is drawn at random, in a run by hand and in CI."""

import pytest

from devkit.places import ROOT
from tests.support.samples import sample


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 48),
        ({"SAMPLES": "few"}, 48),
        ({"SAMPLES": ""}, 48),
        ({"SAMPLES": "full"}, 504),
        ({"SAMPLES": "full", "A_TEST": "7"}, 7),
        ({"A_TEST": "7"}, 7),
    ],
)
def test_how_many_are_drawn(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], count: int) -> None:
    """A test's own variable says it, or else SAMPLES, or else few are."""
    for name in ("SAMPLES", "A_TEST"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert sample("A_TEST", few=48, full=504) == count


def test_other_samples_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt SAMPLES doesn't make a full run a small one."""
    monkeypatch.setenv("SAMPLES", "all")
    with pytest.raises(ValueError, match="it can be 'few' or 'full'"):
        sample("A_TEST", few=48, full=504)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (".ci/run", 'export SAMPLES="${SAMPLES:-full}"'),
        (".github/workflows/ci.yml", "SAMPLES: full"),
        (".gitlab-ci.yml", "SAMPLES: full"),
    ],
)
def test_ci_draws_the_full_samples(file: str, words: str) -> None:
    """On each of the three."""
    assert words in (ROOT / file).read_text(encoding="utf-8")
