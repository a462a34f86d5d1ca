"""From a choice to what the line and the fleet work with. Pure.

The order of what is tried: the same flavor in the next region before the next flavor. People choose a flavor for what
it can do (memory, a GPU) and hardly notice the region; what a flavor lacks, no region makes good.
"""

from __future__ import annotations

from collections.abc import Mapping

from js2spawner.catalog import Catalog
from js2spawner.catalog_entries import FlavorEntry
from js2spawner.fleet.admission import Wish
from js2spawner.fleet.regions import Ids
from js2spawner.instance import Deadlines, HomeUse, Owner, Plan
from js2spawner.line import Candidate
from js2spawner.options import NO_OFFERS, Choice, Scope, Who

# The fleet ends an instance by itself this long after its lease must have ended, should the culler never come.
HARD_END_SLACK_S = 3600.0


def candidates_of(choice: Choice, region: str | None = None) -> tuple[Candidate, ...]:
    """Where and as what the choice may be started, the preferred first. `region`: the one its home binds it to."""
    return tuple(
        Candidate(each.name, flavor.name)
        for flavor in choice.flavors
        for each in choice.regions
        if region in (None, each.name)
    )


def wish_of(
    choice: Choice,
    owner: Owner,
    *,
    who: Who,
    catalog: Catalog,
    region: str | None,
    chosen: Mapping[str, object],
    members: Mapping[str, frozenset[str]],
) -> Wish:
    """What a start asks the line for. `chosen` is the choice as JupyterHub has it, `members` who is in which group."""
    return Wish(
        owner=owner,
        image=image_of(choice),
        candidates=candidates_of(choice, region),
        saved=choice.saved.id if choice.saved else "",
        groups=who.groups,
        members=members,
        options=chosen,
        instead=_instead(choice, who, catalog, region),
    )


def image_of(choice: Choice) -> str:
    """The image of the catalog that it is, or that it comes from."""
    return choice.saved.words.parent if choice.saved else choice.image.name


def flavor_of(choice: Choice, candidate: Candidate) -> FlavorEntry:
    return next(flavor for flavor in choice.flavors if flavor.name == candidate.flavor)


def plan_of(choice: Choice, candidate: Candidate, ids: Ids, home: HomeUse, deadlines: Deadlines) -> Plan:
    """All that an instance of this choice is made by."""
    region = next(region for region in choice.regions if region.name == candidate.region)
    profile = choice.profile
    return Plan(
        region=region.name,
        image=image_of(choice),
        image_id=ids.image_id,
        image_title=choice.image.title,
        flavor=candidate.flavor,
        flavor_id=ids.flavor_id,
        network_id=ids.network_id,
        security_groups=ids.security_groups,
        gpu=ids.gpu,
        sudo=profile.sudo,
        config_drive=region.config_drive,
        longest_s=profile.policy.longest_ever_s + HARD_END_SLACK_S,
        deadlines=deadlines,
        saved=choice.saved.id if choice.saved else "",
        home=home,
        idle=choice.idle,
        shelved_s=profile.shelved_days * 24 * 3600,
    )


def _instead(choice: Choice, who: Who, catalog: Catalog, region: str | None) -> tuple[Candidate, ...]:
    """What else this user could choose for the same image, in the catalog's order."""
    if choice.saved is not None:
        # Where its parent may run is not where it lies.
        return ()
    scope = Scope(catalog, who, NO_OFFERS)
    return tuple(
        Candidate(each.name, flavor.name)
        for flavor in catalog.flavors
        if not scope.pair_refused(choice.image, flavor)
        for each in catalog.regions_of(choice.image)
        if region in (None, each.name)
    )
