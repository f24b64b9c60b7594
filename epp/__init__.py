"""An Endpoint Picker: Envoy asks it which model server should serve a request."""

import sys
from pathlib import Path

from epp.compiled import current_build

_build = current_build(Path(__file__).parent)
COMPILED = _build is not None
if _build is not None:
    __path__.insert(0, str(_build / "epp"))
    sys.path.append(str(_build))  # what the compiled modules share
