"""Figures about the instance."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from js2spawner.guest import vitals
from js2spawner.guest.gpu import Gpus
from js2spawner.guest.vitals import Gpu
from js2spawner.handshake.messages import report_from
from tests.unit.handshake.books import report_json


def test_a_line_of_nvidia_smi_is_a_gpu() -> None:
    told = "GRID A100X-10C, 17, 2048, 10240\nNVIDIA H100 80GB HBM3, 0, 1, 81559\n"
    assert vitals.parse_gpus(told) == [
        Gpu("GRID A100X-10C", 17.0, 2048.0, 10240.0),
        Gpu("NVIDIA H100 80GB HBM3", 0.0, 1.0, 81559.0),
    ]


def test_a_figure_that_the_driver_does_not_give_is_zero() -> None:
    assert vitals.parse_gpus("GRID A100X-10C, [N/A], nan, inf\n") == [Gpu("GRID A100X-10C", 0.0, 0.0, 0.0)]


def test_what_is_no_list_of_gpus_holds_none() -> None:
    assert vitals.parse_gpus("NVIDIA-SMI has failed because it could not communicate\n") == []


@pytest.mark.parametrize(
    ("script", "count"), [("echo 'A100, 1, 2, 3'", 1), ("echo 'A100, 1, 2, 3'; exit 9", 0), ("exit 0", 0)]
)
def test_only_a_gpu_that_answers_counts(
    script: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert len(Gpus().now()) == count


def test_the_hub_takes_these_figures_as_they_are(tmp_path: Path) -> None:
    told = json.loads(json.dumps(vitals.health(vitals.usage(tmp_path)[:2], [Gpu("A100", 1.0, 2.0, 3.0)])))
    health = report_from(json.dumps(report_json(health=told)).encode()).health
    assert 0 < health.memory_used_mb < health.memory_total_mb
    assert 0 < health.disk_used_gb < health.disk_total_gb
    assert health.gpus[0].name == "A100"
