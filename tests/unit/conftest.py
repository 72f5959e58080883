"""What holds for every unit test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A shared machine may be slow for a moment; that is no finding. Speed is measured in benchmarks/.
settings.register_profile("shared-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared-machine")
