"""The doctor at the demo's catalog and its two regions, over HTTP."""

from __future__ import annotations

from pathlib import Path

from js2spawner.catalog import Catalog
from js2spawner.doctor.clouds import examine_clouds
from js2spawner.doctor.findings import Finding, any_fails
from js2spawner.doctor.places import places
from tests.devcloud.client import Scene, devcloud

CATALOG = Path(__file__).parents[2] / "hub_config" / "catalog.demo.yaml"
REGIONS = ("RegionOne", "RegionTwo")


async def found(scene: Scene) -> dict[str, Finding]:
    wanted = places(Catalog.load(CATALOG), only_cloud=None)
    return {each.about: each for each in await examine_clouds(wanted, str(scene.running.clouds_yaml))}


async def test_the_demo_has_all_that_its_catalog_wants_and_its_volumes_are_what_binds(tmp_path: Path) -> None:
    async with devcloud(tmp_path, regions=REGIONS) as scene:
        findings = await found(scene)
    assert not any_fails(findings.values())
    assert findings["regions: images"].level == "ok"
    assert "the quota of 10 volumes is what binds" in findings["region here: homes"].sentence
    assert "g3.large" in findings["region there: GPUs"].sentence


async def test_a_way_out_that_is_closed_is_a_warning_and_hides_nothing_of_the_other_region(tmp_path: Path) -> None:
    async with devcloud(tmp_path, regions=REGIONS) as scene:
        seen = await scene.nobody.call("PUT", "/devcloud/regions/RegionTwo", {"out": "fail"})
        assert seen.status == 200
        findings = await found(scene)
    assert {each.level for about, each in findings.items() if about.startswith("region there")} == {"ok", "warn"}
    assert findings["region here: images"].level == "ok"
