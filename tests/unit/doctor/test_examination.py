from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from js2spawner.doctor.command import doctor
from js2spawner.doctor.examination import read_catalog, read_image_keys
from js2spawner.doctor.subject import Subject
from tests.unit.library.in_glance import KEY

PROJECT = Path(__file__).resolve().parents[3]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in (
        "JS2_CLOUDS_YAML",
        "JS2_CATALOG",
        "JS2_HANDSHAKE_BIND",
        "JS2_STATE_DIR",
        "JS2_DATABASE_URL",
        "JS2_IMAGE_KEYS",
    ):
        monkeypatch.delenv(name, raising=False)
    return CliRunner()


def test_each_mistake_of_a_catalog_is_a_finding_with_its_line(tmp_path: Path):
    broken = tmp_path / "catalog.yaml"
    broken.write_text("images: []\nflavours: {}\n")
    catalog, findings = read_catalog(Subject(catalog=str(broken)))
    assert catalog is None
    assert {finding.level for finding in findings} == {"fail"}
    assert any(f"{broken}:2:" in finding.sentence for finding in findings)


def test_a_catalog_with_images_of_the_library_needs_a_key_that_vouches_for_them(tmp_path: Path):
    text = (PROJECT / "hub_config" / "catalog.demo.yaml").read_text()
    (tmp_path / "catalog.yaml").write_text(text.replace("image: js2-minimal", "library: minimal"))
    catalog, _ = read_catalog(Subject(catalog=str(tmp_path / "catalog.yaml")))
    assert catalog is not None
    assert [finding.level for finding in read_image_keys(Subject(), catalog)[1]] == ["fail"]
    broken = Subject(image_keys=str(tmp_path / "missing"))
    assert [finding.level for finding in read_image_keys(broken, catalog)[1]] == ["fail"]
    (tmp_path / "signing.pub").write_text(KEY.public_line)
    keys, findings = read_image_keys(Subject(image_keys=str(tmp_path / "signing.pub")), catalog)
    assert (keys, [finding.level for finding in findings]) == (KEY.keys, ["ok"])


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
