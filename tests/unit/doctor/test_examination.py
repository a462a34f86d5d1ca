from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from js2spawner.doctor.command import doctor
from js2spawner.doctor.examination import read_catalog
from js2spawner.doctor.subject import Subject


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in ("JS2_CLOUDS_YAML", "JS2_CATALOG", "JS2_HANDSHAKE_BIND", "JS2_STATE_DIR", "JS2_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_each_mistake_of_a_catalog_is_a_finding_with_its_line(tmp_path: Path):
    broken = tmp_path / "catalog.yaml"
    broken.write_text("images: []\nflavours: {}\n")
    catalog, findings = read_catalog(Subject(catalog=str(broken)))
    assert catalog is None
    assert {finding.level for finding in findings} == {"fail"}
    assert any(f"{broken}:2:" in finding.sentence for finding in findings)


def test_no_catalog_is_a_warning():
    assert [finding.level for finding in read_catalog(Subject())[1]] == ["warn"]


def test_the_exit_code_is_1_when_something_fails(runner: CliRunner):
    answer = runner.invoke(doctor, ["--catalog", "/no/such/catalog.yaml"])
    assert answer.exit_code == 1
    assert "fail  catalog" in answer.output
    assert "→" in answer.output


def test_json_is_one_array_of_findings(runner: CliRunner):
    answer = runner.invoke(doctor, ["--json", "--catalog", "/no/such/catalog.yaml"])
    findings = json.loads(answer.output)
    assert all(set(finding) == {"level", "about", "sentence", "remedy"} for finding in findings)


def test_a_directory_without_a_demo_is_one_clear_sentence(runner: CliRunner, tmp_path: Path):
    answer = runner.invoke(doctor, ["--dir", str(tmp_path)])
    assert answer.exit_code == 1
    assert "holds no demo" in answer.output
    assert "Traceback" not in answer.output
