"""How much slower or faster than the pool each server is, as far as the evidence goes.

Differences count only beyond what noise makes of equal servers (empirical Bayes), and the evidence
of a server that is not used fades, so that it is tried again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from epp.core.endpoint import Endpoint

MEMORY_TURNOVERS: Final = 32.0  # of a server's whole batch: requests that overlap are one sample
DISPERSION_MEMORY: Final = 0.999  # a sample
SIGMAS: Final = 2.0  # of the spread that noise alone has
MOST: Final = 16.0  # a ratio is within 1/16..16
LEAST_SECONDS: Final = 1e-6  # observed, for the logarithm; predicted less is nothing known
ENOUGH: Final = 2.0  # independent samples before a server says anything about the others
REVIEWED_EVERY: Final = 2  # samples for each server
LEAST_BETWEEN_REVIEWS: Final = 16  # samples


@dataclass(slots=True, eq=False)
class _Evidence:
    """Sums over the samples of one server, older ones counting less."""

    observed: float = 0.0
    predicted: float = 0.0
    squares: float = 0.0  # of the predicted
    in_flight: float = 1.0  # smoothed: requests that overlap
    ratio: float = 1.0  # shrunken
    used: bool = True  # since the last review

    def fade(self, share: float) -> None:
        self.observed *= share
        self.predicted *= share
        self.squares *= share

    @property
    def independent_samples(self) -> float:
        if self.squares <= 0.0:
            return 0.0
        return self.predicted * self.predicted / (self.squares * self.in_flight)

    @property
    def log_ratio(self) -> float:
        return math.log(max(self.observed, LEAST_SECONDS) / self.predicted)


class Speeds:
    """Of one kind of work."""

    def __init__(self) -> None:
        self._servers: dict[Endpoint, _Evidence] = {}
        self._between = 0.0  # variance of the logarithms between servers, beyond noise
        self._centre = 0.0  # mean of the logarithms, weighted by the work
        self._errors = 0.0  # squared relative errors of samples, weighted by their length
        self._weights = 0.0
        self._since_review = 0

    def ratio(self, endpoint: Endpoint) -> float:
        """1 for a server that nothing is known of."""
        evidence = self._servers.get(endpoint)
        return 1.0 if evidence is None else evidence.ratio

    def forget(self, endpoint: Endpoint) -> None:
        self._servers.pop(endpoint, None)

    def learn(
        self, endpoint: Endpoint, observed: float, predicted: float, in_flight: float
    ) -> bool:
        """Seconds it took and those that the pool's law says; both may be of any size.

        Returns whether the ratios of all servers were looked at again.
        """
        if predicted <= LEAST_SECONDS:
            return False
        evidence = self._servers.get(endpoint)
        if evidence is None:
            evidence = self._servers[endpoint] = _Evidence(in_flight=max(1.0, in_flight))
        error = observed - evidence.ratio * predicted
        self._errors = DISPERSION_MEMORY * self._errors + error * error / predicted
        self._weights = DISPERSION_MEMORY * self._weights + predicted
        overlap = max(1.0, in_flight)
        memory = MEMORY_TURNOVERS * overlap
        evidence.fade(1.0 - 1.0 / memory)
        evidence.observed += observed
        evidence.predicted += predicted
        evidence.squares += predicted * predicted
        evidence.in_flight += (overlap - evidence.in_flight) / memory
        evidence.used = True
        self._since_review += 1
        if self._since_review >= max(LEAST_BETWEEN_REVIEWS, REVIEWED_EVERY * len(self._servers)):
            self._review()
            return True
        self._shrink(evidence)
        return False

    def _review(self) -> None:
        """As rare as there are servers, so that a sample costs the same for a thousand of them."""
        self._since_review = 0
        logs: list[float] = []
        noise = 0.0
        for evidence in self._servers.values():
            if not evidence.used:
                evidence.fade(1.0 - 1.0 / (MEMORY_TURNOVERS * evidence.in_flight))
            evidence.used = False
            if evidence.independent_samples >= ENOUGH:
                logs.append(evidence.log_ratio)
                noise += self._noise(evidence)
        self._between = _beyond_noise(logs, noise / len(logs)) if len(logs) > 1 else 0.0
        known = [e for e in self._servers.values() if e.predicted > LEAST_SECONDS]
        work = sum(evidence.predicted for evidence in known)
        self._centre = sum(e.predicted * e.log_ratio for e in known) / work if work else 0.0
        for evidence in self._servers.values():
            self._shrink(evidence)

    def _noise(self, evidence: _Evidence) -> float:
        """Variance of a server's logarithm that its samples alone explain."""
        return self._errors / self._weights / max(evidence.independent_samples, 1e-9)

    def _shrink(self, evidence: _Evidence) -> None:
        if self._between <= 0.0 or evidence.predicted <= LEAST_SECONDS:
            evidence.ratio = 1.0
            return
        believed = self._between / (self._between + self._noise(evidence))
        ratio = math.exp(believed * (evidence.log_ratio - self._centre))
        evidence.ratio = min(MOST, max(1.0 / MOST, ratio))


def _beyond_noise(logs: list[float], noise: float) -> float:
    """The variance that is not noise; 0 if noise could well have made all of it."""
    mean = sum(logs) / len(logs)
    freedom = len(logs) - 1
    variance = sum((value - mean) ** 2 for value in logs) / freedom
    limit = noise * (1.0 + SIGMAS * math.sqrt(2.0 / freedom))
    return variance - noise if variance > limit else 0.0
