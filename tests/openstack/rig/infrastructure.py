"""What the services stand on: MariaDB for their tables and RabbitMQ for their messages, private to the rig."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.openstack.rig.layout import HOST, Layout, Port
from tests.openstack.rig.processes import Processes, listens

RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
UP_WITHIN_S = 120
# A rig that loses power starts from nothing anyway, so nothing has to reach the disk.
_MARIADB_OPTIONS = (
    "--skip-networking",
    "--skip-log-bin",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=128M",
    "--max-connections=600",
    "--performance-schema=OFF",
    "--character-set-server=utf8mb4",
)


def start(layout: Layout, processes: Processes) -> None:
    """Both; returns when they are on their way."""
    _start_rabbitmq(layout, processes)
    _start_mariadb(layout, processes)


def wait(layout: Layout, processes: Processes) -> None:
    processes.ready("mariadb", lambda: _mariadb_answers(layout), UP_WITHIN_S)
    processes.ready("rabbitmq", lambda: listens(layout.port(Port.RABBITMQ)), UP_WITHIN_S)


def sql(layout: Layout, statements: str) -> str:
    """Run by the client, so that a dump of any size goes through. Raises CalledProcessError with the client's words."""
    return subprocess.run(
        [*client(layout, "mariadb")], input=statements, capture_output=True, text=True, check=True
    ).stdout


def client(layout: Layout, program: str) -> list[str]:
    return [program, "--no-defaults", "--user=root", f"--socket={layout.mariadb_socket}"]


def _start_mariadb(layout: Layout, processes: Processes) -> None:
    data = layout.run / "mariadb"
    own = ["--no-defaults", "--user=root", f"--datadir={data}"]
    install = ["mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(install, capture_output=True, check=True)
    argv = ["mariadbd", *own, f"--socket={layout.mariadb_socket}", f"--pid-file={layout.run}/mariadb.pid"]
    processes.start("mariadb", [*argv, *_MARIADB_OPTIONS], dict(os.environ))


def _mariadb_answers(layout: Layout) -> bool:
    return subprocess.run([*client(layout, "mariadb-admin"), "ping"], capture_output=True, check=False).returncode == 0


def _start_rabbitmq(layout: Layout, processes: Processes) -> None:
    home = layout.run / "rabbitmq"
    home.mkdir(exist_ok=True)
    shutil.copy(layout.setting("rabbitmq.conf"), home / "rabbitmq.conf")
    (home / "plugins").write_text("[].")
    environment = _rabbitmq_environment(layout, home)
    # Erlang's own name service would be started by RabbitMQ otherwise, and outlive it.
    processes.start("epmd", ["epmd", "-address", HOST, "-port", str(layout.port(Port.EPMD))], environment)
    processes.start("rabbitmq", [RABBITMQ], environment)


def _rabbitmq_environment(layout: Layout, home: Path) -> dict[str, str]:
    # RabbitMQ takes several plain words of the environment, LOGS among them, for its settings.
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "rig@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": HOST,
        "RABBITMQ_NODE_PORT": str(layout.port(Port.RABBITMQ)),
        "RABBITMQ_DIST_PORT": str(layout.port(Port.RABBITMQ_NODES)),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq"),
        "ERL_EPMD_PORT": str(layout.port(Port.EPMD)),
        "ERL_EPMD_ADDRESS": HOST,
        # Two schedulers that sleep when there is nothing to do: by default it keeps every core awake.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} "
        "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
    }
