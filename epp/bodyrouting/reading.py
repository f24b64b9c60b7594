"""What the fields of a body come to: the headers to set, and what is noted of it."""

from __future__ import annotations

from epp.bodyrouting.actions import Note, Outcome
from epp.bodyrouting.basemodels import BaseModels
from epp.bodyrouting.fields import FieldScanner, State
from epp.bodyrouting.settings import BASE_MODEL_HEADER, MODEL_FIELD, RoutingSettings
from epp.bodyrouting.values import Flaw


def note_of(scanner: FieldScanner, settings: RoutingSettings, base_models: BaseModels) -> Note:
    """Of a body that has been read as far as it was needed. What is there is set, in any case."""
    readings = scanner.readings
    values = {name: text for name, text in readings.items() if isinstance(text, str)}
    headers = {pair.header: values[pair.field] for pair in settings.fields if pair.field in values}
    unknown = False
    if settings.base_model and MODEL_FIELD in values:
        base = base_models.get(values[MODEL_FIELD])
        unknown = base is None
        if base is not None:
            headers[BASE_MODEL_HEADER] = base
    names = settings.names()
    return Note(
        _outcome(scanner, len(names)),
        headers,
        missing=tuple(name for name in names if name not in readings),
        empty=tuple(name for name in names if readings.get(name) is Flaw.EMPTY),
        base_model_unknown=unknown,
    )


def _outcome(scanner: FieldScanner, wanted: int) -> Outcome:
    if any(isinstance(reading, Flaw) for reading in scanner.readings.values()):
        return Outcome.UNREADABLE
    if len(scanner.readings) == wanted:
        return Outcome.SUCCESS
    return Outcome.MISSING if scanner.state is State.COMPLETE else Outcome.NOT_JSON
