from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import js2spawner
from js2spawner import cli

ROOT = Path(__file__).parents[2]


def test_the_version_is_the_package_s():
    assert CliRunner().invoke(cli.main, ["--version"]).output == f"js2, version {js2spawner.__version__}\n"


def test_help_names_every_command_and_loads_nothing_heavy():
    program = (
        "import sys\nfrom js2spawner.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in ('aiohttp', 'openstack', 'jupyterhub', 'sqlalchemy') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip().endswith("[]")
    for name in ("demo", "devcloud", "doctor"):
        assert f"\n  {name} " in answer.stdout


@pytest.mark.parametrize("name", ["demo", "devcloud", "doctor"])
def test_every_command_explains_itself(name: str):
    answer = CliRunner().invoke(cli.main, [name, "--help"])
    assert answer.exit_code == 0, answer.output
    assert "Options:" in answer.output


def test_an_unknown_command_is_one_sentence_and_exit_code_2():
    answer = CliRunner().invoke(cli.main, ["dance"])
    assert answer.exit_code == 2
    assert "No such command 'dance'" in answer.output


@pytest.mark.parametrize("options", [["--port", "0"], ["--port", "x"], ["--boot-seconds", "-1"], ["--nonsense"]])
def test_a_wrong_option_of_the_demo_is_exit_code_2(options: list[str]):
    answer = CliRunner().invoke(cli.main, ["demo", *options])
    assert answer.exit_code == 2
    assert "Traceback" not in answer.output
