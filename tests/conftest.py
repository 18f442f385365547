"""Settings of every test run: options, the marker `claim` and its check, Hypothesis profiles."""

from __future__ import annotations

import os

# read when testcontainers is imported, so set before any test module can do that
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
os.environ["TC_POOLING_INTERVAL"] = "0.1"

from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import claims, require

ROOT = Path(__file__).resolve().parent.parent
SECURITY_MODEL = ROOT / "docs" / "security-model.md"
ISOLATION = ROOT / "tests" / "isolation"

settings.register_profile("ci", max_examples=100, deadline=None, derandomize=False)
settings.register_profile("long", max_examples=5000, deadline=None, derandomize=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-docker",
        action="store_true",
        help="a missing engine, runtime or image fails the run instead of skipping",
    )
    parser.addoption("--long", action="store_true", help="many more examples, and slow tests too")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "claim(id): the claim of docs/security-model.md it proves")
    config.addinivalue_line("markers", "long: runs with --long only")
    require.set_strict(bool(config.getoption("--require-docker")))
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("long" if config.getoption("--long") else "ci")


@pytest.hookimpl(tryfirst=True)  # before -k and -m take tests away
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not session.testsfailed and SECURITY_MODEL.is_file():
        _check_claims(config, items)
    _leave_long_out(config, items)


def _check_claims(config: pytest.Config, items: list[pytest.Item]) -> None:
    document = claims.of_document(SECURITY_MODEL.read_text(encoding="utf-8"))
    claimed = [(i.nodeid, str(c)) for i in items for m in i.iter_markers("claim") for c in m.args]
    if strange := claims.unknown(claimed, document):
        raise pytest.UsageError("claims that the security model lacks:\n" + "\n".join(strange))
    whole = claims.covers(config.args, config.invocation_params.dir, ISOLATION)
    if whole and (untested := document - {claim for _, claim in claimed}):
        raise pytest.UsageError(f"claims without a test: {', '.join(sorted(untested))}")


def _leave_long_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    long = [] if config.getoption("--long") else [i for i in items if i.get_closest_marker("long")]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With --require-docker a test that was skipped, for whatever reason, fails the run."""
    skipped = _skipped(session.config)
    if skipped and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for skipped in _skipped(config):
        terminalreporter.write_line(f"a skip is not a pass: {skipped}", red=True)


def _skipped(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not config.getoption("--require-docker"):
        return []
    return [report.nodeid for report in reporter.stats.get("skipped", [])]
