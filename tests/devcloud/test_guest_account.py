"""The privileged guest: accounts, sudo, files. In namespaces of its own, so that this machine keeps its accounts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# A private /etc, /home and /run over the machine's, seen by this process and what it starts only.
ENTER = """
set -e
mount --make-rprivate /
cp -a /etc "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /home
mount -t tmpfs tmpfs /run
shift
exec "$@"
"""
# Runs a few lines with a fresh assignment at hand and prints `told` as JSON.
PREAMBLE = """
import grp, json, os, pathlib, pwd, subprocess, sys, time
sys.path.insert(0, {root!r})
from js2spawner.guest import account, assignment, launch, mounts, processes
from js2spawner.guest.account import AccountProblem
from js2spawner.guest.rundir import RunDir
def wanted(name="alice", uid=20001, sudo=False, **changes):
    server = {{"argv": ["sh"], "env": {{"TOKEN": "t"}}, "address": "127.0.0.1", "port": 8888, "certificates": None}}
    server.update(changes)
    user = {{"name": name, "uid": uid, "sudo": sudo}}
    return assignment.from_json({{"id": "a", "user": user, "server": server, "gpu": False}})
def refused(**changes):
    try:
        account.ensure(wanted(**changes), made_here)
    except AccountProblem as problem:
        return str(problem)
made_here = account.Made(pathlib.Path("/run"))
told = None
"""


def _may_enter() -> bool:
    if os.geteuid() != 0:
        return False
    command = ["unshare", "--mount", "sh", "-c", "mount --make-rprivate / && mount -t tmpfs tmpfs /home"]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


pytestmark = pytest.mark.skipif(not _may_enter(), reason="needs root that may make mount namespaces")


@pytest.fixture
def inside(tmp_path: Path) -> Any:
    """A function that runs lines of Python as root in the private view and gives back what they put into `told`."""

    def run(lines: str) -> Any:
        before = Path("/etc/passwd").read_text()
        program = PREAMBLE.format(root=str(ROOT)) + lines + "\nprint(json.dumps(told))"
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ENTER, "sh"]
        done = subprocess.run(
            [*command, str(tmp_path), sys.executable, "-I", "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert Path("/etc/passwd").read_text() == before
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_an_account_is_made_with_the_given_uid_and_a_home_of_its_own(inside: Any) -> None:
    told = inside("""
made = account.ensure(wanted(), made_here)
home = os.stat(made.home)
told = [made.name, made.uid, made.gid, made.home, home.st_uid, made.switch]
""")
    assert told == ["alice", 20001, 20001, "/home/alice", 20001, True]


def test_making_it_twice_is_making_it_once(inside: Any) -> None:
    told = inside("""
first = account.ensure(wanted(sudo=True), made_here)
told = [first == account.ensure(wanted(sudo=True), made_here), [e.pw_name for e in pwd.getpwall()].count("alice")]
""")
    assert told == [True, 1]


def test_an_account_of_the_image_is_adopted_with_its_own_uid(inside: Any) -> None:
    told = inside("""
subprocess.run(["useradd", "--uid", "3000", "--create-home", "alice"], check=True)
told = account.ensure(wanted(), made_here).uid
""")
    assert told == 3000


def test_a_system_account_is_never_anybodys(inside: Any) -> None:
    assert "system" in inside('told = refused(name="daemon")')


def test_a_uid_that_is_somebody_elses_is_said_without_a_name(inside: Any) -> None:
    told = inside("""
subprocess.run(["useradd", "--uid", "20001", "bob"], check=True)
told = refused()
""")
    assert "20001 belongs to another account" in told
    assert "alice" not in told
    assert "bob" not in told


def test_sudo_is_a_rule_that_only_root_can_change(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(sudo=True), made_here)
rule = pathlib.Path("/etc/sudoers.d/js2-user")
told = [rule.read_text(), oct(rule.stat().st_mode & 0o777), rule.stat().st_uid]
""")
    assert told == ["alice ALL=(ALL:ALL) NOPASSWD: ALL\n", "0o440", 0]


def test_without_sudo_the_rule_and_the_groups_that_give_it_are_taken_away(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(sudo=True), made_here)
subprocess.run(["usermod", "--append", "--groups", "sudo", "alice"], check=True)
account.ensure(wanted(sudo=False), made_here)
told = [pathlib.Path("/etc/sudoers.d/js2-user").exists(), grp.getgrnam("sudo").gr_mem]
""")
    assert told == [False, []]


def test_a_fresh_volume_as_home_becomes_the_users(inside: Any) -> None:
    told = inside("""
os.makedirs("/home/alice")
account.ensure(wanted(), made_here)
seen = os.stat("/home/alice")
told = [seen.st_uid, seen.st_gid, oct(seen.st_mode & 0o777)]
""")
    assert told == [20001, 20001, "0o700"]


def test_a_home_that_is_a_link_is_refused(inside: Any) -> None:
    assert "not a directory" in inside("""
os.symlink("/etc", "/home/alice")
told = refused()
""")


def test_the_server_runs_as_the_user_and_cannot_read_what_the_agent_keeps(inside: Any) -> None:
    told = inside("""
run = RunDir(pathlib.Path("/run/js2"))
run.keep("assignment", {"token": "hub-token"})
run.publish("lease", {})
script = "id -u; id -g; id -G; pwd; cat /run/js2/secret/assignment.json; cat /run/js2/public/lease.json; cat $KEY"
certificates = {"key": "KEY", "certificate": "C", "authority": "A"}
given = wanted(argv=["sh", "-c", script], env={"KEY": "/run/js2/tls/server.key"}, certificates=certificates)
owner = account.ensure(given, made_here)
run.share_with(run.log, owner.gid)
launch.write_certificates(given, owner, run)
variables = launch.environment(given, owner, run, os.environ)
launch.start(list(given.argv), variables, owner, run.log / "server.log").wait(timeout=20)
log = run.log / "server.log"
told = [log.read_text().splitlines(), log.stat().st_uid, oct(log.stat().st_mode & 0o777)]
""")
    (uid, gid, groups, cwd, denied, lease_and_key), owner, mode = told
    assert (uid, gid, groups, cwd) == ("20001", "20001", "20001", "/home/alice")
    assert "Permission denied" in denied
    assert lease_and_key == "{}KEY"
    assert (owner, mode) == (0, "0o640")


def test_the_end_reaches_what_the_user_detached(inside: Any) -> None:
    told = inside("""
owner = account.ensure(wanted(), made_here)
as_alice = ["setpriv", "--reuid", "20001", "--regid", "20001", "--clear-groups"]
subprocess.run([*as_alice, "setsid", "--fork", "sleep", "600"], check=True)
def left():
    return processes.belonging(processes.everything(), owner.uid, [])
before = len(left())
processes.end(left, time.monotonic, time.sleep)
told = [before, len(left())]
""")
    assert told == [1, 0]


def test_a_saved_images_account_becomes_its_next_users_with_the_home_as_it_is(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(sudo=True), made_here)
notes = pathlib.Path("/home/alice/notes.txt")
notes.write_text("kept")
os.chown(notes, 20001, 20001)
taken = account.ensure(wanted(name="bob", sudo=True), made_here)
again = account.ensure(wanted(name="bob", sudo=True), made_here)
rule = pathlib.Path("/etc/sudoers.d/js2-user").read_text()
names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == 20001]
notes = pathlib.Path("/home/bob/notes.txt").read_text()
told = [names, taken.home, taken == again, notes, os.path.exists("/home/alice"),
        grp.getgrgid(20001).gr_name, rule]
""")
    assert told == [["bob"], "/home/bob", True, "kept", False, "bob", "bob ALL=(ALL:ALL) NOPASSWD: ALL\n"]


def test_what_the_last_user_had_started_at_boot_ends_before_the_account_is_the_next_ones(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(), made_here)
as_alice = ["setpriv", "--reuid", "20001", "--regid", "20001", "--clear-groups"]
subprocess.run([*as_alice, "setsid", "--fork", "sleep", "600"], check=True)
taken = account.ensure(wanted(name="bob"), made_here)
told = [taken.name, len(processes.belonging(processes.everything(), 20001, []))]
""")
    assert told == ["bob", 0]


def test_giving_an_account_over_that_was_interrupted_is_taken_up(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(), made_here)
subprocess.run(["usermod", "--home", "/home/bob", "--move-home", "alice"], check=True)
taken = account.ensure(wanted(name="bob"), made_here)
told = [taken.name, taken.uid, taken.home, os.path.isdir("/home/bob")]
""")
    assert told == ["bob", 20001, "/home/bob", True]


def test_an_account_that_was_given_over_when_the_power_failed_is_still_given_to_the_next(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(), made_here)
really = account.must
def run_and_fail(command, *arguments):
    really(command, *arguments)
    if "--login" in arguments:
        raise KeyboardInterrupt
account.must = run_and_fail
try:
    account.ensure(wanted(name="bob"), made_here)
except KeyboardInterrupt:
    pass
account.must = really
told = [account.ensure(wanted(name=name), made_here).home for name in ("bob", "carol")]
""")
    assert told == ["/home/bob", "/home/carol"]


def test_only_an_account_that_we_made_is_ever_given_over(inside: Any) -> None:
    told = inside("""
account.ensure(wanted(name="carol", uid=20002), made_here)
subprocess.run(["useradd", "--uid", "20001", "alice"], check=True)
told = [refused(name="bob"), pwd.getpwuid(20001).pw_name]
""")
    assert "20001 belongs to another account" in told[0]
    assert told[1] == "alice"


def test_what_the_server_keeps_while_it_runs_fills_nothing_of_the_systems_memory(inside: Any) -> None:
    told = inside("""
run = RunDir(pathlib.Path("/run/js2"))
for _ in range(2):
    mounts.give_memory(run.runtime, 20001, 20001)
    run.give_runtime(20001, 20001)
seen, room = os.stat(run.runtime), os.statvfs(run.runtime)
mounted = pathlib.Path("/proc/self/mounts").read_text().count(" /run/js2/runtime ")
told = [seen.st_uid, oct(seen.st_mode & 0o777), room.f_blocks * room.f_frsize, room.f_files, mounted]
open(run.runtime / "kernel-1.json", "w")
run.forget()
mounts.take_memory(run.runtime)
told += [run.runtime.exists()]
""")
    assert told == [20001, "0o700", 16 * 2**20, 1024, 1, False]
