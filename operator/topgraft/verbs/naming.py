"""Which version a user means: by its name, by an alias of the Model, or as what serves."""

from __future__ import annotations

from topgraft.api.model import Model
from topgraft.api.modelversion import ModelVersion
from topgraft.verbs.session import Mistaken


def version_named(name: str, model: Model, versions: dict[str, ModelVersion]) -> ModelVersion:
    """A version's own name wins over an alias; `serving` and `previous` are aliases that every Model has."""
    aliases = {"serving": model.status.serving_version, "previous": model.status.previous_version}
    aliases |= model.spec.aliases
    chosen = name if name in versions else aliases.get(name)
    if chosen is None or chosen not in versions:
        known = ", ".join(sorted(versions)) or "none"
        raise Mistaken(f"Model {model.metadata.name!r} has no version or alias {name!r}; versions: {known}")
    return versions[chosen]
