"""Shared settings of the tests that cross packages."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")
