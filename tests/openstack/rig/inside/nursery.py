"""`nursery.py SERVICES.json GO`: OpenStack's services as children of one process that has imported for all of them.

Runs in the services' virtual environment. Most of a service's start is imports, and most imports are the same ones:
what all services need is imported once, what a family (Nova's four, say) needs once for each family, and each
service is then a fork. SERVICES.json is a list of families, see `Family` and `Service` in services.py. Nothing
runs before the file GO is there, so that imports and databases get ready side by side. TERM ends everything; a
service that ends by itself ends everything too, since a cloud with a part missing tests nothing.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

WAITS_AT_MOST_S = 240
# Nothing here patches the standard library or starts a thread: both would make a fork dangerous.
SHARED = (
    "alembic",
    "jsonschema",
    "keystoneauth1.loading",
    "keystonemiddleware.auth_token",
    "oslo_cache",
    "oslo_concurrency.processutils",
    "oslo_db.sqlalchemy.enginefacade",
    "oslo_log.log",
    "oslo_middleware",
    "oslo_policy.policy",
    "oslo_serialization.jsonutils",
    "oslo_upgradecheck",
    "paste.deploy",
    "pymysql",
    "routes",
    "sqlalchemy.orm",
    "waitress",
    "webob",
)


def main(families: Sequence[Mapping[str, Any]], go: Path) -> int:
    for module in SHARED:
        importlib.import_module(module)
    children = {_fork(lambda family=family: _run_family(family, go)): _names(family) for family in families}
    return _tend(children)


def _run_family(family: Mapping[str, Any], go: Path) -> int:
    if family["threads"]:
        # Nova's own way to say it, before anything of Nova is imported.
        importlib.import_module("nova.monkey_patch").patch(backend="threading")
    for module in family["imports"]:
        importlib.import_module(module)
    _until(go.exists, f"{go} is there")
    if port := family["after_port"]:
        _until(lambda: _listens(port), f"something listens on port {port}")
    services = family["services"]
    return _tend({_fork(lambda service=service: _run_service(service)): service["name"] for service in services})


def _names(family: Mapping[str, Any]) -> str:
    return ", ".join(service["name"] for service in family["services"])


def _run_service(service: Mapping[str, Any]) -> int:
    _redirect(Path(service["output"]))
    os.environ.update(service["environment"])
    # The services read their options from there, some of them while they are imported.
    sys.argv = list(service["argv"])
    if service["port"]:
        _serve(importlib.import_module(service["module"]).application, service["port"], service["workers"])
    else:
        importlib.import_module(service["module"]).main()
    return 0


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAITS_AT_MOST_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {WAITS_AT_MOST_S} s: {what}")
        time.sleep(0.1)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _serve(application: Any, port: int, threads: int) -> None:
    waitress = importlib.import_module("waitress")
    waitress.serve(
        application,
        host="127.0.0.1",
        port=port,
        threads=threads,
        connection_limit=500,
        channel_timeout=300,
        ident=None,
        max_request_body_size=1 << 40,
        clear_untrusted_proxy_headers=True,
    )


def _redirect(output: Path) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _fork(work: Callable[[], int]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if status:
            traceback.print_exc()
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _tend(children: Mapping[int, str]) -> int:
    """Wait for the first child that ends, say which, then end the others."""
    signal.signal(signal.SIGTERM, lambda *_: _end(children))
    ended, status = os.wait()
    # A service that dies without a word of its own would leave nothing to go by.
    print(f"{children.get(ended, ended)} ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr, flush=True)
    _end(child for child in children if child != ended)
    return os.waitstatus_to_exitcode(status) and 1


def _end(children: Iterable[int]) -> None:
    for child in children:
        try:
            os.kill(child, signal.SIGTERM)
        except ProcessLookupError:
            pass


if __name__ == "__main__":
    sys.exit(main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
