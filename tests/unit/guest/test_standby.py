"""A server imported ahead of time: what it becomes, when it declines, and that it never stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from js2spawner.guest import launch, standby
from js2spawner.guest.account import Account
from js2spawner.guest.assignment import Assignment
from js2spawner.guest.notebook import Notebook
from js2spawner.guest.processes import arguments, reap
from js2spawner.guest.rundir import RunDir
from js2spawner.guest.standby import BECAME, Order, Standby
from tests.unit.guest import environments
from tests.unit.guest.environments import Environment

TOKEN = "hub-token-that-nobody-may-see"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return environments.make(tmp_path_factory.mktemp("environment") / "server")


@pytest.fixture
def own(tmp_path: Path) -> Environment:
    """An environment for a test that changes it."""
    return environments.make(tmp_path / "server")


class Scene:
    """A home, a log, and what is started for them; `clean` ends whatever still runs."""

    def __init__(self, folder: Path, wait_until: Callable[..., None]) -> None:
        self.home = folder / "home"
        self.home.mkdir()
        self.log = folder / "log"
        self.run = RunDir(folder / "js2")
        self.until = wait_until
        self._begun: list[Standby] = []

    def begin(self, environment: Environment) -> Standby:
        self._begun.append(Standby(environment.python, time.monotonic))
        return self._begun[-1]

    def order(self, environment: Environment, **changes: Any) -> Order:
        variables = {"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "Asia/Tokyo"}
        variables |= {"JUPYTERHUB_API_URL": "http://hub/api", "JUPYTERHUB_API_TOKEN": TOKEN}
        plain: dict[str, Any] = {"program": str(environment.program), "arguments": ("--debug",)}
        plain |= {"home": str(self.home), "variables": variables | changes.pop("variables", {})}
        return Order(**(plain | {"uid": 1000, "gid": 1000, "groups": (), "switch": False} | changes))

    def give(self, one: Standby, wanted: Order) -> bool:
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            return one.offer(wanted, descriptor)
        finally:
            os.close(descriptor)

    def heard(self, one: Standby) -> str:
        said: list[str] = []
        self.until(lambda: said.extend(filter(None, (one.answer(),))) or said)
        return said[0]

    def told(self) -> dict[str, Any]:
        """What the server found itself to be."""
        file = self.home / "told.json"
        self.until(file.exists)
        seen: dict[str, Any] = json.loads(file.read_text())
        file.unlink()
        return seen

    def started_fresh(self, wanted: Order) -> dict[str, Any]:
        """The same of a process of its own, started by the agent's ordinary way."""
        owner = Account("alice", wanted.uid, wanted.gid, (), wanted.home, "/bin/sh", switch=False)
        launch.start([wanted.program, *wanted.arguments], wanted.variables, owner, self.log).wait(timeout=30)
        return self.told()

    @contextlib.contextmanager
    def notebook(self, environment: Environment, one: Standby, **variables: str) -> Iterator[Notebook]:
        """A notebook whose server listens somewhere, for as long as the block lasts."""
        env = dict(self.order(environment).variables) | variables
        env |= {"PATH": str(environment.program.parent), "JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0"}
        given = Assignment("a1", "alice", 1000, False, ("jupyterhub-singleuser",), env, "127.0.0.1", 8888, None, False)
        owner = Account("alice", 1000, 1000, (), str(self.home), "/bin/sh", switch=False)
        notebook = Notebook(given, owner, self.run, time.monotonic, one)
        notebook.start()
        try:
            yield notebook
        finally:
            if notebook.pid:
                os.kill(notebook.pid, signal.SIGKILL)
            reap()

    def clean(self) -> None:
        for one in self._begun:
            one.dismiss()


@pytest.fixture
def scene(tmp_path: Path, wait_until: Callable[..., None]) -> Iterator[Scene]:
    made = Scene(tmp_path, wait_until)
    yield made
    made.clean()


def test_a_server_cannot_tell_whether_it_was_imported_ahead(plain: Environment, scene: Scene, tmp_path: Path) -> None:
    wanted = scene.order(plain)
    fresh = scene.started_fresh(wanted)
    one = scene.begin(plain)
    assert scene.give(one, wanted)
    assert scene.heard(one) == BECAME
    ahead = scene.told()
    for seen in (fresh, ahead):
        # Helpers of importing ahead: modules of the standard library, at most.
        del seen["modules"]
        # The folder that is being listed.
        seen["descriptors"] = {fd: place for fd, place in seen["descriptors"].items() if int(fd) < 3}
    assert ahead == fresh
    assert ahead["home_at_import"] == str(scene.home)
    assert ahead["hub_at_import"] == "http://hub/api"
    assert ahead["descriptors"] == {"0": "/dev/null", "1": str(scene.log), "2": str(scene.log)}


def test_nothing_of_the_guests_own_stays_in_the_server(plain: Environment, scene: Scene, tmp_path: Path) -> None:
    one = scene.begin(plain)
    scene.give(one, scene.order(plain))
    ours = Path(standby.__file__).parent
    seen = scene.told()
    assert not [name for name in seen["modules"] if name.partition(".")[0] == ours.name]
    assert str(ours) not in seen["path"]
    assert str(ours.parent) not in seen["path"]


def test_an_order_given_while_it_still_imports_is_carried_out_when_it_is_done(
    own: Environment, scene: Scene, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    own.add("late_or_not", f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n")
    one = scene.begin(own)
    assert scene.give(one, scene.order(own))
    assert one.answer() is None
    gate.touch()
    assert scene.heard(one) == BECAME


def test_the_token_is_in_no_argument_and_no_text_of_the_order(plain: Environment, scene: Scene, tmp_path: Path) -> None:
    one = scene.begin(plain)
    wanted = scene.order(plain, variables={"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:0"})
    scene.give(one, wanted)
    assert scene.heard(one) == BECAME
    assert TOKEN not in " ".join(arguments(one.child.pid))
    assert TOKEN not in repr(wanted)


def test_a_program_of_another_place_is_not_taken_on(plain: Environment, scene: Scene, tmp_path: Path) -> None:
    assert not scene.give(scene.begin(plain), scene.order(plain, program="/bin/sh"))


@pytest.mark.parametrize(
    ("module", "variables", "why"),
    [
        ("", {"PYTHONPATH": "/somewhere"}, "PYTHONPATH must be set before Python starts"),
        ("import os; os.getenv('COLOUR')", {"COLOUR": "red"}, "late_or_not looks at COLOUR while it is imported"),
        ("import os; kept = os.open('/', os.O_RDONLY)", {}, "an import left a file open"),
        (
            "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
            {},
            "an import left a thread running",
        ),
        ("1 / 0", {}, "ZeroDivisionError while it stood by"),
        ("import os; os._exit(3)", {}, "it ended without a word"),
    ],
)
def test_what_a_fresh_process_does_better_is_declined_with_the_reason(
    module: str,
    variables: dict[str, str],
    why: str,
    own: Environment,
    scene: Scene,
    tmp_path: Path,
) -> None:
    own.add("late_or_not", module)
    one = scene.begin(own)
    scene.give(one, scene.order(own, variables=variables))
    assert scene.heard(one) == why


def test_what_reads_its_input_at_import_does_not_get_the_order(own: Environment, scene: Scene) -> None:
    own.add("late_or_not", "import sys; assert sys.stdin.read() == ''")
    one = scene.begin(own)
    scene.give(one, scene.order(own))
    assert scene.heard(one) == BECAME


def test_modules_from_a_home_could_matter_so_an_open_environment_does_not_stand_by(
    own: Environment, scene: Scene, tmp_path: Path
) -> None:
    settings = own.python.parents[1] / "pyvenv.cfg"
    settings.write_text(settings.read_text().replace("site-packages = false", "site-packages = true"))
    assert scene.heard(scene.begin(own)) == "the server's environment takes modules from users' homes"


def test_what_others_can_write_is_not_imported(own: Environment, scene: Scene, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    own.add("late_or_not", f"open({str(mark)!r}, 'w')")
    own.packages.chmod(0o777)
    assert scene.heard(scene.begin(own)) == f"{own.packages} can be changed by others than root"
    assert not mark.exists()


@pytest.mark.parametrize("hidden", [False, True])
def test_not_a_line_is_run_of_what_others_can_write_wherever_it_lies(
    hidden: bool, own: Environment, scene: Scene, tmp_path: Path
) -> None:
    mark = tmp_path / "imported"
    package = own.packages / "theirs"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(mark)!r}, 'w')")
    package.chmod(0o777)
    own.add("late_or_not", "try:\n    import theirs\nexcept Exception:\n    pass" if hidden else "import theirs")
    assert scene.heard(scene.begin(own)) == f"{package} can be changed by others than root"
    assert not mark.exists()


def test_a_python_that_others_can_replace_is_not_even_started(
    own: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    own.python.parent.chmod(0o777)
    with caplog.at_level("INFO"):
        assert standby.begin(str(own.program.parent), time.monotonic) is None
    assert caplog.messages == [
        f"the server cannot be imported ahead of time: {own.python.parent} can be changed by others than root"
    ]


def test_it_ends_with_the_agent(plain: Environment, scene: Scene) -> None:
    one = scene.begin(plain)
    one.release()  # the socket closes, as with the death of a process
    assert one.child.wait(30) == 0


def test_a_dismissed_one_is_gone_at_once(plain: Environment, scene: Scene) -> None:
    one = scene.begin(plain)
    one.abandon()
    assert one.child.returncode is not None


def test_an_agent_that_ends_leaves_the_one_with_an_order_alone(
    plain: Environment, scene: Scene, tmp_path: Path
) -> None:
    one = scene.begin(plain)
    scene.give(one, scene.order(plain))
    one.abandon()
    assert scene.told()["cwd"] == str(scene.home)


def test_one_that_takes_too_long_is_given_up(
    plain: Environment, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = scene.begin(plain)
    os.kill(one.child.pid, signal.SIGSTOP)
    monkeypatch.setattr(standby, "PATIENCE_S", 0.0)
    scene.give(one, scene.order(plain))
    assert scene.heard(one) == "it took too long"


def test_a_notebook_whose_standby_declines_is_started_at_once_and_nobody_counts_it(
    own: Environment, scene: Scene, tmp_path: Path
) -> None:
    own.add("late_or_not", "import os; os.getenv('COLOUR')")
    with scene.notebook(own, scene.begin(own), COLOUR="red") as notebook:
        first = notebook.pid
        scene.until(lambda: notebook.watch(reap()) and notebook.pid != first)
        assert notebook.restarts == 0
        assert "preload" not in " ".join(arguments(notebook.pid))


def test_a_notebook_that_stood_by_is_started_afresh_when_it_dies(
    plain: Environment, scene: Scene, tmp_path: Path
) -> None:
    one = scene.begin(plain)
    with scene.notebook(plain, one) as notebook:
        assert notebook.pid == one.child.pid
        scene.until(lambda: notebook.watch(reap()) and (scene.run.log / "server.log").stat().st_size > 0)
        os.kill(one.child.pid, signal.SIGKILL)
        scene.until(lambda: notebook.watch(reap()) and notebook.pid != one.child.pid)
        assert notebook.restarts == 1
