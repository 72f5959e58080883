"""Which versions may take another adapter, by where they come from."""

from __future__ import annotations

from topgraft.api.adapterupgrade import AdapterUpgrade
from topgraft.api.modelversion import ModelVersion
from topgraft.governance.refusal import Refusal

UPGRADABLE = "CodeRepository"


def source_type(version: ModelVersion) -> str:
    """The type of the version's source; a version that names none was made from code."""
    return version.spec.source.type if version.spec.source is not None else UPGRADABLE


def source_refusal(base: ModelVersion, upgrade: AdapterUpgrade) -> Refusal | None:
    """Why `upgrade` may put no other adapter on `base`; None where it may.

    A stock image (`contract: None`) is exempt: it names no class whose code repository could count.
    """
    kind = source_type(base)
    if kind == UPGRADABLE or upgrade.spec.allow_source_type or base.spec.adapter.contract == "None":
        return None
    return Refusal(
        "SourceNotUpgradable",
        f"spec.source.type of ModelVersion {base.metadata.name!r} is {kind}; only versions of a {UPGRADABLE} take "
        "another adapter: make a new ModelVersion, or set spec.allowSourceType",
    )
