"""The files of an audit: a page, a JSON that is the audit again, metrics; one of a role leaves the others' alone."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from skewless.monitoring.audit.audit import AuditResult
from skewless.monitoring.reports.audit_files import write_audit
from tests.monitoring.reports.audit_results import SKEWED

NOON = datetime(2013, 10, 1, 12, tzinfo=UTC)


def test_three_files_beside_each_other(tmp_path: Path):
    page = write_audit(tmp_path / "reports", SKEWED, NOON)
    assert page == tmp_path / "reports" / "audit-tiny-1.0.0.html"
    assert msgspec.json.decode(page.with_suffix(".json").read_bytes(), type=AuditResult) == SKEWED
    assert b"skewless_audit_differing" in page.with_suffix(".prom").read_bytes()
    assert "Skewed" in page.read_text()


def test_elsewhere_and_of_a_role(tmp_path: Path):
    shadow = msgspec.structs.replace(SKEWED, role="shadow")
    assert write_audit(tmp_path, shadow, NOON, json=tmp_path / "own.json").name == "audit-tiny-1.0.0-shadow.html"
    assert {file.name for file in tmp_path.iterdir()} == {
        "audit-tiny-1.0.0-shadow.html", "audit-tiny-1.0.0-shadow.prom", "own.json",
    }  # fmt: skip
