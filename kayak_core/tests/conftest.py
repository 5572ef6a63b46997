"""Shared settings of the core's tests."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# Machines that run tests are often busy: a deadline would measure them, not the code.
settings.register_profile("kayak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kayak")

sys.path.insert(0, str(Path(__file__).parent))  # helpers that several test modules import
