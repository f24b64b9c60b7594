"""What the chart installs works: the picker with its arguments, under its role; Envoy's start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from epp.extproc import health as health_service
from tests.cluster.api import Object
from tests.cluster.chart import MANIFESTS, SERVERS, Chart, container, documents, the_one
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import StartPicker
from tests.cluster.test_chart import chart, tools, values
from tests.cluster.waiting import holds
from tests.helpers.envoy import validate

__all__ = ["chart", "tools"]  # fixtures

POOL_LABELS = {"app": "model"}
