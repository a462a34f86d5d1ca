"""JupyterHub's contract and nothing else: start, stop, poll, progress, state, options.

What JupyterHub demands and punishes (read from its 6.1 sources) decides the shape of every method here: `poll` never
raises and answers None while anything may exist; `stop` records the end before it returns; nothing of one start leaks
into the next, since spawner objects are reused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.spawner import Spawner
from traitlets import Float, Integer, default

from js2spawner import options
from js2spawner.asking import who_is
from js2spawner.assignments import assignment_for
from js2spawner.cloud.errors import CloudError
from js2spawner.decide import recover
from js2spawner.failures import Failure, failure, failure_of
from js2spawner.fleet.configuration import FleetNotReady
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.home_finding import HomeFailed
from js2spawner.fleet.reach import answers_http
from js2spawner.fleet.records_json import dump, load
from js2spawner.fleet.regions import NOTEBOOK_PORT, offers_of
from js2spawner.fleet.starts import StartFailed, Tried
from js2spawner.fleet.store import StoreFailed
from js2spawner.handshake.messages import Lease as LeaseNotice
from js2spawner.instance import Ended, Idle, Owner, Record, Running
from js2spawner.lease import Lease, lease
from js2spawner.options_shown import choices
from js2spawner.refusals import LastFailure, StartRefused, refusal_of
from js2spawner.saved import Saved
from js2spawner.sightings import HomeTrouble
from js2spawner.spawner_shown import OnPages
from js2spawner.spawner_starting import WithTurns
from js2spawner.wishes import HARD_END_SLACK_S

_REBOOT_PATIENCE_S = 20.0


class Js2Spawner(OnPages, WithTurns, Spawner):
    """Gives every server of every user an OpenStack instance of its own."""

    reach_timeout_s = Float(
        30.0,
        help="Seconds the hub tries to reach a notebook that its instance reports as listening. Default: 30.",
    ).tag(config=True)
    restart_patience_s = Float(
        60.0,
        help="""Seconds a restarted hub waits for an instance that exists but does not answer before it lets go of it
        (the instance is kept). Default: 60.""",
    ).tag(config=True)
    form_patience_s = Float(
        3.0,
        help="Seconds the choice page waits for the cloud before it shows what was known before. Default: 3.",
    ).tag(config=True)
    home_uid = Integer(1000, help="User id of the account made on the instance; never 0. Default: 1000.", min=1).tag(
        config=True
    )

    def __init__(self, **kwargs: Any) -> None:
        self._attempt_id = ""
        self._kept_record = ""
        self._failure: LastFailure | None = None
        self._resumed = False
        # What becomes of the instance with the next stop, where that is not what its plan says.
        self.parting: Idle | None = None
        super().__init__(**kwargs)

    # ---- what this spawner stands for -------------------------------------------------------------------------------

    @property
    def owner(self) -> Owner:
        return Owner(self.user.name, self.name)

    @property
    def ready(self) -> bool:
        """Whether people may be sent to the server.

        JupyterHub 6.1 alone would send them to one whose start was interrupted, in the second before it calls stop().
        """
        # Every start and stop asks this of all spawners, and most of those are not: they need no look at their record.
        if not super().ready:
            return False
        record = self.record
        return record is None or record.parted or isinstance(record.state, Running)

    @property
    def last_failure(self) -> LastFailure | None:
        """Why the latest start failed; None after a good one."""
        fleet = self.hub_fleet.fleet
        if self._failure is None or fleet is None:
            return self._failure
        # Fetched while the instance is deleted, so it may arrive after the failure.
        return replace(self._failure, console=fleet.console(self._failure.attempt_id))

    # ---- state ------------------------------------------------------------------------------------------------------

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self._attempt_id = str(state.get("attempt_id", ""))
        self._kept_record = str(state.get("record", ""))

    def get_state(self) -> dict[str, Any]:
        state: dict[str, Any] = super().get_state()
        if self._attempt_id:
            state["attempt_id"] = self._attempt_id
            # The whole record: should the hub's own table be lost, JupyterHub's is enough to find the instance again.
            # Without the token, since administrators may read this state over the API.
            state["record"] = dump(replace(self.record, api_token="")) if self.record else self._kept_record
        return state

    def clear_state(self) -> None:
        super().clear_state()
        if self.hub_fleet.fleet is not None:
            self.hub_fleet.fleet.forget_journal(self.owner)
        self._attempt_id = ""
        self._kept_record = ""
        self.health = self.home_report = None

    # ---- options ----------------------------------------------------------------------------------------------------

    @default("options_form")
    def _options_form_default(self) -> Any:
        return self._render_form

    @default("options_from_form")
    def _options_from_form_default(self) -> Any:
        return options.from_form

    def options_from_query(self, query_data: Mapping[str, list[str]]) -> dict[str, str]:
        return options.from_query(query_data)

    @default("apply_user_options")
    def _apply_user_options_default(self) -> Any:
        # Nothing to apply: start() reads the choice from `user_options`, so nothing of it can outlive the start.
        return lambda _spawner, _options: None

    def who(self) -> options.Who:
        """The user, as what may be asked for is decided by."""
        return who_is(self.user)

    async def _choice(self, raw: object) -> options.Choice:
        """The choice, checked. Raises StartRefused; FleetNotReady or CloudError when it names a saved image."""
        try:
            saved = await self.saved_of(raw)
            return options.check(raw, catalog=self.hub_fleet.catalog, who=self.who(), saved=saved)
        except options.OptionsError as error:
            raise StartRefused(str(error), reason=failure("options").name) from None

    async def _render_form(self, _spawner: Spawner) -> str:
        catalog = self.hub_fleet.catalog
        offers: Mapping[str, options.Offer] = options.NO_OFFERS
        saved: list[Saved] = []
        home = None
        try:
            fleet = await self.hub_fleet.ready()
            home = await self.home_seen()
            offers, saved = await asyncio.gather(
                offers_of(fleet.desks, fleet.history.totals(), patience_s=self.form_patience_s),
                self.all_saved(self.form_patience_s),
            )
        except (FleetNotReady, StoreFailed) as error:
            self.log.error("the choice page goes without the cloud's answers: %s", error)
        shown = choices(catalog, self.who(), offers, self.user_options or {}, datetime.now(UTC), saved, home)
        template = self.user.settings["jinja2_env"].get_template("options_form.html")
        return str(await template.render_async(base_url=self.hub.base_url, user_path=self.user.escaped_name, **shown))

    # ---- certificates -----------------------------------------------------------------------------------------------

    async def create_certs(self) -> dict[str, str]:
        """Nothing yet: no address is known before the start. The pair is made at the hand-over (certificates.py)."""
        return {}

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """They travel with the assignment."""
        return paths

    # ---- start ------------------------------------------------------------------------------------------------------

    async def start(self) -> str:
        """Bring an instance up and return its notebook's URL. Raises SpawnException with a reason for metrics."""
        self._failure = None
        self.will_resume = False
        self._resumed = False
        try:
            choice = await self._choice(self.user_options)
            fleet = await self.hub_fleet.ready()
            record = await self._bring_up(fleet, choice)
        except StartFailed as failed:
            raise await self._sorry(failed.why, failed.tried) from None
        except HomeFailed as failed:
            raise await self._sorry(failed.why) from None
        except CloudError as error:
            raise await self._sorry(failure_of(error)) from None
        except (FleetNotReady, StoreFailed) as error:
            self.log.error("%s: %s", self._log_name, error)
            raise await self._sorry(failure("hub", str(error))) from None
        finally:
            if self.hub_fleet.fleet is not None:
                self.hub_fleet.fleet.journal(self.owner).close()
        await self._listen(record)
        if record.api_token:
            # Resumed from before a crash: the notebook still holds the token of that time, and JupyterHub takes it
            # back.
            self.api_token = record.api_token
        return self._url(record)

    async def hand_over(self, record: Record) -> None:
        """Have the guest given what it needs to be this user's: once when it first waits, and after each reboot."""
        if record.api_token:
            # An earlier hub process offered it with this token, and the guest may have taken it.
            self.api_token = record.api_token
        self.ip, self.port = record.address, NOTEBOOK_PORT
        fleet, book = self.hub_fleet.fleet, self.hub_fleet.book
        assert fleet is not None
        assert book is not None
        fleet.amend(record.attempt_id, lambda r: replace(r, api_token=self.api_token))
        # On disk before the guest may have it: a hub that dies now must know with which token the notebook runs.
        await fleet.saved()
        # Of an instance that was rebooted a poll or a hello waits for this, and the next poll asks for it again.
        rebooted = isinstance(record.state, Running)
        try:
            async with asyncio.timeout(_REBOOT_PATIENCE_S if rebooted else None):
                assignment = await assignment_for(self, record)
        except (HomeFailed, TimeoutError) as error:
            why = error.why if isinstance(error, HomeFailed) else failure("home-slow")
            self.log.error("%s: attempt %s: no home: %s", self._log_name, record.attempt_id, why.detail or why.sentence)
            fleet.feed(record.attempt_id, HomeTrouble(why))
            return
        book.offer(record.attempt_id, assignment)

    async def _reachable(self, record: Record) -> bool:
        return await answers_http(self._url(record), timeout_s=self.reach_timeout_s, tls=self.internal_ssl)

    def _url(self, record: Record) -> str:
        scheme = "https" if self.internal_ssl else "http"
        return f"{scheme}://{record.address}:{NOTEBOOK_PORT}"

    async def _sorry(self, why: Failure, tried: tuple[Tried, ...] = ()) -> StartRefused:
        """The refusal of a start that failed, kept for the failure page."""
        self._failure = LastFailure(why, tried, datetime.now(UTC))
        return await refusal_of(self._failure, self.user.settings["jinja2_env"])

    # ---- poll and stop ----------------------------------------------------------------------------------------------

    async def poll(self) -> int | None:
        """None while anything of this server may exist or its fate is unknown; never raises."""
        try:
            return await self._poll()
        except Exception:
            # JupyterHub takes a raising poll for "gone" and wipes the state: an unknown fate must read as None.
            self.log.exception("%s: poll failed; taking the instance for alive", self._log_name)
            return None

    async def _poll(self) -> int | None:
        if self.waits_in_line:
            return None
        if not self._attempt_id:
            return 0
        fleet = await self.hub_fleet.ready()
        record = fleet.claim(self._attempt_id) or fleet.get(self._attempt_id) or await self._find_again(fleet)
        if record is None:
            return 1
        if isinstance(record.state, Ended):
            return 0 if record.state.because.name in ("stopped", "expired") else 1
        if record.on_shelf:
            return 0
        if not record.over:
            # Known to the record only: it is what JupyterHub revokes at the end, and what a rebooted instance needs.
            self.api_token = self.api_token or record.api_token
            await self._listen(record)
        return None

    async def _find_again(self, fleet: Fleet) -> Record | None:
        """An attempt that the running fleet does not know: over long ago, or lost with the hub's own table."""
        stored = await fleet.find(self._attempt_id)
        if stored is not None or not self._kept_record:
            return stored
        kept = load(self._kept_record)
        self.log.warning("%s: taking attempt %s from JupyterHub's state", self._log_name, kept.attempt_id)
        return fleet.adopt(replace(recover(kept, time.time()), unclaimed_since=None))

    async def stop(self, now: bool = False) -> None:
        """Promise the end, or the shelf: durable when this returns, carried out whatever becomes of this process."""
        del now
        then, self.parting = self.parting, None
        self.leave_line()
        if not self._attempt_id:
            return
        try:
            fleet = await self.hub_fleet.ready()
            record = fleet.get(self._attempt_id)
            running = record is not None and isinstance(record.state, Running)
            if running and self._given_up_by_hub():
                await self._let_go(fleet)
                return
            await fleet.part(self._attempt_id, failure("stopped" if running else "cancelled"), then)
        except (FleetNotReady, StoreFailed) as error:
            # JupyterHub forgets the server whatever we raise; the fleet ends what nobody claims.
            self.log.error("%s: the end could not be recorded: %s", self._log_name, error)
        finally:
            self._unlisten()

    def _given_up_by_hub(self) -> bool:
        """Whether this stop is the hub's own, after a server that runs did not answer it: nobody asked for an end.

        JupyterHub stops it from within its wait for an answer (`_waiting_for_response`; after its own restart `get_url`
        sets that) and when the proxy did not take the route (`_proxy_pending`). A user's stop comes after both.
        """
        return bool(self._waiting_for_response or self._proxy_pending)

    async def _let_go(self, fleet: Fleet) -> None:
        """A network's trouble must not delete a user's work."""
        self.log.warning("%s: does not answer; its instance is kept for the next start", self._log_name)
        # Keeps the server's token, with which that start resumes the notebook.
        self.will_resume = True
        # One that ran already and still did not pass is not offered to the next start again.
        fleet.let_go(self._attempt_id, set_aside=self._resumed)
        await fleet.saved()

    async def delete_forever(self) -> None:
        """The server, or its user, is removed: whatever of it is still kept somewhere ends."""
        fleet = await self.hub_fleet.ready()
        self.leave_line()
        for record in fleet.of(self.owner):
            await fleet.end(record.attempt_id, failure("stopped"))

    async def rename(self, old_name: str, new_name: str) -> None:
        """The server gets another name: an instance that is kept for it is found under that one."""
        fleet = await self.hub_fleet.ready()
        for record in fleet.of(Owner(self.user.name, old_name)):
            fleet.amend(record.attempt_id, lambda r: replace(r, owner=Owner(r.owner.user, new_name)))
        await fleet.saved()

    async def get_url(self) -> str:
        """Where the server is. Asked by a restarted hub just before it stops what does not answer: so we wait.

        JupyterHub does not mark that wait of its own as it does after a start, but it ends the mark: so we set it here.
        """
        self._waiting_for_response = True
        record = self.record
        if record is None or not record.address:
            return str(self.server.url)
        patience = time.monotonic() + self.restart_patience_s
        while time.monotonic() < patience and await self.poll() is None:
            if await answers_http(self._url(record), timeout_s=5.0, tls=self.internal_ssl):
                break
            await asyncio.sleep(2.0)
        base = urlsplit(str(self.server.base_url)).path
        return self._url(record) + base

    # ---- progress and reports ---------------------------------------------------------------------------------------

    async def progress(self) -> AsyncIterator[dict[str, object]]:
        """The story of this start from its beginning; one reader per open tab."""
        fleet = await self.hub_fleet.ready()
        async for event in fleet.journal(self.owner).follow():
            yield event

    async def _listen(self, record: Record) -> None:
        if self.hub_fleet.book is not None:
            await self.hub_fleet.book.listen(self, record)

    def _unlisten(self) -> None:
        if self.hub_fleet.book is not None:
            self.hub_fleet.book.unlisten(self._attempt_id)

    # ---- lease ------------------------------------------------------------------------------------------------------

    def lease(self) -> Lease | None:
        """When this server ends by itself and why; None while it is not running."""
        record = self.record
        if record is None or not isinstance(record.state, Running):
            return None
        started = datetime.fromtimestamp(record.state.since, UTC)
        active = self.orm_spawner.last_activity
        return lease(
            self.hub_fleet.catalog.policy_for(record.plan.image),
            started=started,
            last_activity=active.replace(tzinfo=UTC) if active else started,
            extended_s=record.extended_s,
            extensions_used=record.extensions,
            latest=datetime.fromtimestamp(record.expires_at - HARD_END_SLACK_S, UTC),
            now=datetime.now(UTC),
            held=self.saving is not None,
            idles=record.plan.idle != "keep",
        )

    async def extend(self) -> Lease:
        """Give the server more time. Raises ValueError with a sentence when it may have no more."""
        current, record, fleet = self.lease(), self.record, self.hub_fleet.fleet
        if current is None or record is None or fleet is None:
            raise ValueError("This server is not running, so there is nothing to extend.")
        if not current.can_extend:
            raise ValueError("This server cannot be extended any further.")
        more_s = current.extend_s
        fleet.amend(
            record.attempt_id, lambda r: replace(r, extensions=r.extensions + 1, extended_s=r.extended_s + more_s)
        )
        await fleet.saved()
        extended = self.lease()
        assert extended is not None
        return extended

    def lease_notice(self) -> LeaseNotice | None:
        current = self.lease()
        if current is None:
            return None
        page = f"{self.hub.base_url}js2/lease/{self.user.escaped_name}/{self.name}".rstrip("/")
        parting = self.farewell() or {"then": "delete", "home_stays": False, "su_per_hour": None}
        return LeaseNotice(
            ends_at=current.ends_at,
            why=current.why,
            warn=current.warn,
            hub_page=page,
            then=parting["then"],
            home=parting["home_stays"],
            su_per_hour=parting["su_per_hour"],
        )
