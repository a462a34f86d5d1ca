"""A rig's life: from nothing to a seeded cloud, and back to nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tests.openstack.rig import infrastructure, packages, prepared, schemas, seed, services
from tests.openstack.rig.layout import Guests, Layout, Port
from tests.openstack.rig.processes import Processes, RigError, listens
from tests.openstack.rig.settings import write_settings

COMPUTE_WITHIN_S = 120
# Nothing they hold is worth waiting for.
STOP_WITHIN_S = 3
_APIS = (Port.KEYSTONE, Port.PLACEMENT, Port.GLANCE, Port.NEUTRON, Port.NOVA, Port.CINDER)


class Rig:
    """`say` is told each step as it is done."""

    def __init__(self, layout: Layout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._say = say
        self._processes = Processes(layout.pids, layout.logs)
        self._apis = tuple(map(layout.port, _APIS))

    def up(self) -> None:
        """Raises RigError with what was wrong; then nothing of it runs any more."""
        if self._layout.clouds_yaml.exists() and self._processes.runs("services"):
            self._say("it runs already")
            return
        packages.install(self._layout, self._say)
        if not prepared.is_current():
            self._say("no dump of prepared databases fits, so one is made")
            self.prepare()
        self._or_nothing(self._start)

    def prepare(self) -> None:
        packages.install(self._layout, self._say)
        self._or_nothing(self._prepare)
        self.down()

    def down(self) -> None:
        """Ends every process of the rig and removes its state, also after half a start."""
        self._processes.stop(self._processes.names(), STOP_WITHIN_S)
        shutil.rmtree(self._layout.run, ignore_errors=True)
        self._layout.clouds_yaml.unlink(missing_ok=True)
        self._say("nothing of it is left")

    def end_services(self) -> None:
        """End every service, and keep what they wrote: to whoever uses them the machine is lost."""
        self._processes.stop(services.NAMES, STOP_WITHIN_S)

    def start_services(self) -> None:
        """Those that were ended, on what they had written. Raises RigError."""
        services.warm_up(self._layout, self._processes)
        services.start(self._layout, self._processes)
        services.wait(self._processes, *self._apis)
        # Neutron joins its models at its first query, and lists no ports before that: a new rig begins with networks.
        list(seed.admin(self._layout).network.networks())
        seed.wait_for_compute(self._layout, COMPUTE_WITHIN_S)

    def _or_nothing(self, start: Callable[[], None]) -> None:
        try:
            self._clean_start()
            start()
        except BaseException as problem:
            logs = self._layout.own / "log-of-failure"
            shutil.rmtree(logs, ignore_errors=True)
            if self._layout.logs.exists():
                shutil.copytree(self._layout.logs, logs)
            self.down()
            if isinstance(problem, RigError):
                raise RigError(f"{problem}\nThe services' logs are in {logs}.") from None
            raise

    def _clean_start(self) -> None:
        self.down()
        if taken := [port for port in self._apis if listens(port)]:
            raise RigError(f"Ports {taken} of 127.0.0.1 are taken by other programs.")
        self._layout.run.mkdir(parents=True)
        write_settings(self._layout)
        infrastructure.start(self._layout, self._processes)

    def _start(self) -> None:
        layout, processes = self._layout, self._processes
        services.warm_up(layout, processes)
        infrastructure.wait(layout, processes)
        self._say("MariaDB and RabbitMQ answer")
        schemas.make_account(layout)
        prepared.load(layout)
        self._say("databases are filled")
        services.start(layout, processes)
        services.wait(processes, *self._apis)
        self._say("all APIs answer")
        self._furnish()
        seed.wait_for_compute(layout, COMPUTE_WITHIN_S)
        self._say("servers can be created")

    def _furnish(self) -> None:
        """What differs from rig to rig, and so is in no dump."""
        seed.plant_images(seed.admin(self._layout))
        seed.plant_networks(self._layout, booted=self._layout.guests is Guests.QEMU)
        seed.write_clouds_yaml(self._layout)
        self._say("images, networks and the hub's credential are there")

    def _prepare(self) -> None:
        layout, processes = self._layout, self._processes
        infrastructure.wait(layout, processes)
        schemas.make_account(layout)
        schemas.make_databases(layout)
        schemas.migrate(layout)
        schemas.map_hosts(layout)
        self._say("databases are migrated")
        # The three that are missing sign in as they start, with accounts that do not exist yet.
        services.warm_up(layout, processes, without=("nova-conductor", "nova-scheduler", "nova-compute"))
        services.start(layout, processes)
        services.wait(processes, *self._apis)
        self._say("all APIs answer")
        seed.plant_people(layout)
        seed.plant_flavors(seed.admin(layout))
        seed.plant_outside(seed.admin(layout))
        processes.stop(services.NAMES, STOP_WITHIN_S)
        prepared.save(layout)
        self._say(f"written: {prepared.DUMP.name}")
