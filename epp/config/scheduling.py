"""The profiles of the document, and the handler that says which of them a request runs through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from epp.config.document import Document, SchedulingProfile
from epp.config.errors import ConfigError
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


@dataclass(frozen=True, slots=True)
class Scheduling:
    profile: Profile  # the only one, or that which answers a request that says nothing of profiles
    staged: StagedScheduler | None = None  # None: there is one profile alone
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
            return Scheduling(next(iter(profiles.values())))
        try:
            notes = tuple(f"{where}: {note}" for note in handler.check(tuple(profiles)))
        except ValueError as error:
            raise ConfigError([f"{where}: {name}: {error}"]) from None
        if isinstance(handler, SingleProfileHandler):
            return Scheduling(next(iter(profiles.values())), notes=notes)
        staged = StagedScheduler(name, handler, profiles, self._deciders(where, handler))
        return Scheduling(profiles[staged.usual_profile], staged, notes)

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
            if not profile.name:
                raise ConfigError([f"{where}.name: is empty"])
            if profile.name in profiles:
                raise ConfigError([f"{where}.name: duplicate profile name '{profile.name}'"])
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
        for name, plugin in self.instances.items():
            picker = remembering(name, plugin)
            if isinstance(picker, Picker):
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


def _references(where: str, profile: SchedulingProfile) -> list[tuple[str, str, float | None]]:
    """Place, reference and weight."""
    return [
        (f"{where}.plugins[{index}].pluginRef", plugin.plugin_ref, plugin.weight)
        for index, plugin in enumerate(profile.plugins)
    ]
