"""What a spawner has to do with turns: its wish, its plan once the turn has come, and its place while it has not."""

from __future__ import annotations

from functools import partial
from typing import Any

from jupyterhub import orm

from js2spawner.catalog_entries import Limit
from js2spawner.fleet.fleet import Fleet
from js2spawner.fleet.starts import Request, Start
from js2spawner.homes import user_key
from js2spawner.instance import NO_HOME, HomeUse, Owner, Plan, Record
from js2spawner.limits import EVERYONE, together
from js2spawner.line import Candidate
from js2spawner.options import Choice, Who
from js2spawner.spawner_saved import WithSavedImages
from js2spawner.wishes import flavor_of, plan_of, wish_of


class WithTurns(WithSavedImages):
    """The part of our spawner that waits in the line. Not a Spawner by itself."""

    user: Any
    _resumed: bool
    # A place from before a restart of the hub is kept, but nobody waits in it.
    _began_here = False

    @property
    def owner(self) -> Owner:
        raise NotImplementedError

    async def hand_over(self, record: Record) -> None:
        raise NotImplementedError

    async def _reachable(self, record: Record) -> bool:
        raise NotImplementedError

    @property
    def waits_in_line(self) -> bool:
        """Whether a start of this spawner waits for its turn, or was just interrupted while it did."""
        admission = self.hub_fleet.admission
        return self._began_here and admission is not None and admission.where(self.owner) is not None

    def leave_line(self) -> None:
        """Give up the place, whoever left it."""
        if self.hub_fleet.admission is not None:
            self.hub_fleet.admission.leave(self.owner)

    async def _bring_up(self, fleet: Fleet, choice: Choice) -> Record:
        """Wait for the turn and make an instance, or take up the one there is. Raises StartFailed, HomeFailed."""
        self._began_here = True
        line = self.hub_fleet.admission
        assert line is not None
        catalog = self.hub_fleet.catalog
        # Without what is never used again of a user, which costs a question to the database.
        who = Who(self.user.name, frozenset(group.name for group in self.user.groups), bool(self.user.admin))
        # Where there is one region, there is nothing to bind, and no home is made for who only waits.
        _, region = await self._home(choice, choice.regions) if len(choice.regions) > 1 else (NO_HOME, None)
        wish = wish_of(
            choice,
            self.owner,
            who=who,
            catalog=catalog,
            region=region,
            chosen=self.user_options or {},
            members=self._members_of(together(catalog.limits, who.groups)),
        )
        start = Start(
            fleet,
            line,
            Request(wish, attempts=1 + choice.profile.retries, plan=partial(self._plan, fleet, choice)),
            hand_over=self.hand_over,
            reachable=self._reachable,
            on_attempt=self._stand_for,
        )
        record = await start.run(fleet.journal_of_start(self.owner))
        self._resumed = start.resumed
        return record

    async def _plan(self, fleet: Fleet, choice: Choice, candidate: Candidate) -> Plan:
        region = next(region for region in choice.regions if region.name == candidate.region)
        ids = await fleet.desks[region.name].ids(choice, flavor_of(choice, candidate))
        home, _ = await self._home(choice, (region,))
        return plan_of(choice, candidate, ids, home, self.hub_fleet.plan_deadlines())

    async def _home(self, choice: Choice, regions: tuple[Any, ...]) -> tuple[HomeUse, str | None]:
        """The home of this start, and the region it binds it to. Raises HomeFailed."""
        homes, person = self.hub_fleet.homes, self.user.orm_user
        if homes is None:
            return NO_HOME, None
        mark = user_key(person.id, person.created)
        return await homes.use(self.owner, mark, choice.profile.home, regions, choice.home)

    def _members_of(self, limits: tuple[Limit, ...]) -> dict[str, frozenset[str]]:
        """Who is in the groups that are counted together; of everybody nobody needs to be asked."""
        found = ((limit.name, orm.Group.find(self.user.db, limit.name)) for limit in limits if limit.name != EVERYONE)
        return {name: frozenset(user.name for user in group.users) for name, group in found if group is not None}

    def _stand_for(self, record: Record) -> None:
        """From here on poll and stop are about this attempt: a cancelled start is stopped by JupyterHub next."""
        self._attempt_id = record.attempt_id
