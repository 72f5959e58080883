"""The verification policy in force: the Model's, replaced part by part by the governing upgrade's."""

from __future__ import annotations

from typing import Any

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.model import Model
from topgraft.api.verification import Verification, VerificationOverride


def verification_policy(model: Model, upgrade: AdapterUpgrade | None) -> Verification:
    """A part that the upgrade names counts as a whole, also when it is empty: `smoke: []` asks for no request."""
    override = upgrade.spec.verification if upgrade else None
    if override is None:
        return model.spec.verification
    parts = {name: getattr(override, name) for name in VerificationOverride.model_fields}
    return model.spec.verification.model_copy(update={name: part for name, part in parts.items() if part is not None})


def identity(policy: Verification) -> dict[str, Any]:
    """What of the policy belongs to an attempt's identity; empty where nothing is asked for.

    Invariant: a release that adds a field, with a default of any kind, changes no hash: nothing that failed is tried
    again because the operator is new.
    """
    return policy.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_unset=True)


def asks_requests(policy: Verification) -> bool:
    """Whether the verification program has anything to do."""
    return bool(policy.smoke) or policy.golden is not None
