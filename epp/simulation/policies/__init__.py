"""Policies that others ship or publish, each a configuration document of this picker."""

from epp.simulation.policies.catalogue import POLICIES, policy

__all__ = ["POLICIES", "policy"]
