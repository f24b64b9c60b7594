"""The profiles of the document, and the handler that says which of them a request runs through."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from epp.config.document import Document, SchedulingProfile, ShadowProfile, only_in_shadows
from epp.config.errors import ConfigError
from epp.config.settings import Shadow
from epp.scheduling.interfaces import (
    Admitter,
    Decider,
    Detector,
    Filter,
    Picker,
    Plugin,
    Preference,
    ProfileHandler,
    Scorer,
)
from epp.scheduling.memory import remembering
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.plugins.single_profile_handler import SingleProfileHandler
from epp.scheduling.profile import Profile, WeightedScorer
from epp.scheduling.staged import StagedScheduler

MAX_SHADOWS: Final = 4


@dataclass(frozen=True, slots=True)
class Scheduling:
    profile: Profile  # the only one, or that which answers a request that says nothing of profiles
    staged: StagedScheduler | None = None  # None: there is one profile alone
    shadows: tuple[Shadow, ...] = ()
    notes: tuple[str, ...] = ()  # what a user of this document may not expect


@dataclass(frozen=True, slots=True)
class SchedulingBuilder:
    document: Document
    instances: Mapping[str, object]  # every configured plugin, by name

    def build(self) -> Scheduling:
        """Raises ConfigError."""
        profiles = self._profiles()
        where, name, handler = self._handler()
        if handler is None:
            if len(profiles) > 1:
                raise ConfigError(
                    ["schedulingProfiles: no profile handler configured for several profiles"]
                )
            return self._with_shadows(next(iter(profiles.values())), ())
        try:
            notes = tuple(f"{where}: {note}" for note in handler.check(tuple(profiles)))
        except ValueError as error:
            raise ConfigError([f"{where}: {name}: {error}"]) from None
        if isinstance(handler, SingleProfileHandler):
            return self._with_shadows(next(iter(profiles.values())), notes)
        self._check_no_shadows(where, name)
        staged = StagedScheduler(name, handler, profiles, self._deciders(where, handler))
        return Scheduling(profiles[staged.usual_profile], staged, notes=notes)

    def _with_shadows(self, profile: Profile, notes: tuple[str, ...]) -> Scheduling:
        """`profile` decides, unless the document names one of the shadows in its place."""
        document, usual_share = self.document, ShadowProfile("").max_loop_share
        profiles = {profile.name: Shadow(profile, usual_share)}
        if document.shadow_profiles and not document.scheduling_profiles:
            raise ConfigError(
                [
                    "shadowProfiles: only beside schedulingProfiles: without them every plugin of "
                    "the document decides, those of shadows too"
                ]
            )
        if (count := len(document.shadow_profiles)) > MAX_SHADOWS:
            raise ConfigError([f"shadowProfiles: {count} are more than {MAX_SHADOWS}"])
        for index, shadow in enumerate(document.shadow_profiles):
            where = f"shadowProfiles[{index}]"
            self._check_name(where, shadow.name, profiles)
            made = self._profile(shadow.name, _references(where, shadow))
            profiles[shadow.name] = Shadow(made, shadow.max_loop_share)
        name = document.live_profile or profile.name
        if name not in profiles:
            known = ", ".join(profiles)
            raise ConfigError([f"liveProfile: '{name}' is none of the profiles: {known}"])
        deciding = profiles.pop(name).profile
        return Scheduling(deciding, shadows=tuple(profiles.values()), notes=notes)

    def _check_no_shadows(self, where: str, handler: str) -> None:
        """Stages are decided together, so one profile alone cannot be compared with them."""
        problems = [
            f"{place}: not with {where}, profile handler '{handler}': shadows are compared with "
            "one profile that decides alone"
            for place, given in (
                ("shadowProfiles", self.document.shadow_profiles),
                ("liveProfile", self.document.live_profile),
            )
            if given
        ]
        if problems:
            raise ConfigError(problems)

    @staticmethod
    def _check_name(where: str, name: str, known: Container[str]) -> None:
        if not name:
            raise ConfigError([f"{where}.name: is empty"])
        if name in known:
            raise ConfigError([f"{where}.name: duplicate profile name '{name}'"])

    def _handler(self) -> tuple[str, str, ProfileHandler | None]:
        """Place, name and handler. It counts wherever it is listed, no section refers to it."""
        found = [
            (f"plugins[{index}]", entry.reference, handler)
            for index, entry in enumerate(self.document.plugins)
            if isinstance(handler := self.instances[entry.reference], ProfileHandler)
        ]
        if len(found) > 1:
            names = ", ".join(f"'{name}'" for _, name, _ in found)
            raise ConfigError(
                [f"{found[1][0]}: multiple profile handlers found ({names}); only one is allowed"]
            )
        return found[0] if found else ("", "", None)

    def _deciders(self, where: str, handler: ProfileHandler) -> Mapping[str, Decider]:
        deciders: dict[str, Decider] = {}
        problems: list[str] = []
        for parameter, name in handler.decider_names().items():
            decider = self.instances.get(name)
            place = f"{where}.parameters.{parameter}"
            if isinstance(decider, Decider):
                deciders[name] = decider
            elif decider is None:
                problems.append(f"{place}: references undefined plugin '{name}'")
            else:
                problems.append(f"{place}: '{name}' is no decider")
        if problems:
            raise ConfigError(problems)
        return deciders

    def _profiles(self) -> Mapping[str, Profile]:
        """In the order of the document; one called `default` where it has none."""
        listed = self.document.scheduling_profiles
        if not listed:
            return {"default": self._profile("default", self._all_plugins())}
        profiles: dict[str, Profile] = {}
        for index, profile in enumerate(listed):
            where = f"schedulingProfiles[{index}]"
            self._check_name(where, profile.name, profiles)
            profiles[profile.name] = self._profile(profile.name, _references(where, profile))
        return profiles

    def _profile(self, name: str, references: list[tuple[str, str, float | None]]) -> Profile:
        filters: list[Filter] = []
        preferences: list[Preference] = []
        filter_names: list[str] = []
        preference_names: list[str] = []
        scorers: list[WeightedScorer] = []
        picker: Picker | None = None
        picker_name = ""
        for where, reference, weight in references:
            if reference not in self.instances:
                raise ConfigError([f"{where}: references undefined plugin '{reference}'"])
            plugin = remembering(reference, self.instances[reference])
            if not isinstance(plugin, Filter | Preference | Scorer | Picker):
                raise ConfigError([f"{where}: '{reference}' is no filter, scorer or picker"])
            if isinstance(plugin, Filter):
                filters.append(plugin)
                filter_names.append(reference)
            if isinstance(plugin, Preference):
                preferences.append(plugin)
                preference_names.append(reference)
            if isinstance(plugin, Scorer):  # some are filters, too
                scorers.append(WeightedScorer(reference, plugin, 1.0 if weight is None else weight))
            if isinstance(plugin, Picker):
                if picker is not None:
                    raise ConfigError([f"{where}: the profile already has a picker"])
                picker, picker_name = plugin, reference
        if picker is None:
            picker_name, picker = self._any_picker()
        return Profile(
            name,
            tuple(filters),
            tuple(scorers),
            picker,
            tuple(preferences),
            tuple(filter_names),
            tuple(preference_names),
            picker_name,
        )

    def _any_picker(self) -> tuple[str, Picker]:
        """Name and plugin, for a profile that names none."""
        left_out = only_in_shadows(self.document)
        for name, plugin in self.instances.items():
            picker = remembering(name, plugin)
            if isinstance(picker, Picker) and name not in left_out:
                return name, picker
        return MaxScorePicker.type_name, MaxScorePicker()

    def _all_plugins(self) -> list[tuple[str, str, float | None]]:
        """Place, reference and weight of all that could be in a profile."""
        return [
            (f"plugins[{index}]", entry.reference, None)
            for index, entry in enumerate(self.document.plugins)
            if isinstance(plugin := self.instances[entry.reference], Plugin)
            and not isinstance(plugin, Detector | Admitter | Decider | ProfileHandler)
        ]


def _references(
    where: str, profile: SchedulingProfile | ShadowProfile
) -> list[tuple[str, str, float | None]]:
    """Place, reference and weight."""
    return [
        (f"{where}.plugins[{index}].pluginRef", plugin.plugin_ref, plugin.weight)
        for index, plugin in enumerate(profile.plugins)
    ]
