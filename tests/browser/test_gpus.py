"""A GPU is proved before anybody gets it: a broken card is set aside while another one is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.browser.scripted import Scripted
from tests.browser.whole import TOKEN, Pieces, until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CATALOG = Path(__file__).with_name("catalog.gpu.yaml")
GONE_WITHIN_S = 60


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pieces]:
    options = ("--Js2Fleet.report_interval_s=1", "--Js2Fleet.deadlines=hold_broken_s=20")
    environment = {"JS2_CATALOG": str(CATALOG)}
    with Pieces(
        tmp_path_factory.mktemp("gpus"), "ada", boot_seconds=1, hub_options=options, hub_environment=environment
    ) as running:
        yield running


def broken_cards(hub: Pieces) -> dict[str, float]:
    """js2_broken_gpus by host, as Prometheus reads it."""
    answer = requests.get(f"{hub.address}/hub/metrics", headers={"Authorization": f"token {TOKEN}"}, timeout=30)
    return {
        host: float(count) for host, count in re.findall(r'js2_broken_gpus_total\{host="(\w+)"\} (\S+)', answer.text)
    }


def test_a_card_that_cannot_compute_is_set_aside_and_another_one_taken(hub: Pieces):
    # The cloud fills its hosts in this order: were the first one not held, the second attempt would meet it again.
    hub.control("PUT", "/hosts", {"gpu1": "no-compute"})
    ada = Scripted(hub, "ada")
    ada.starts(image="gpu")

    assert len(hub.attempts("ada")) == 2
    hosts = hub.control("GET", "/hosts")["hosts"]
    assert [len(hosts[name]["servers"]) for name in ("gpu1", "gpu2")] == [1, 1]
    (broken,) = hosts["gpu1"]["host_ids"]
    assert broken_cards(hub) == {broken[:12]: 1.0}
    (home,) = hub.cloud.block_storage.volumes()
    assert home.attachments[0]["server_id"] == hosts["gpu2"]["servers"][0]

    until(lambda: len(hub.instances("ada")) == 1, "the broken ones are gone in the end", GONE_WITHIN_S)
    ada.stops()
    until(lambda: not hub.instances("ada"), "all is gone", GONE_WITHIN_S)
