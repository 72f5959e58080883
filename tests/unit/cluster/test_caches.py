"""What of an object stays in memory."""

from typing import Any

import pytest
from topgraft.cluster.caches import Caches
from topgraft.cluster.kinds import (
    ADAPTER_UPGRADE,
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT_SLICE,
    JOB,
    MODEL,
    MODEL_VERSION,
    NETWORK_POLICY,
    OWN,
    POD,
    SERVICE,
    WATCHED,
    Kind,
)

SPECS: dict[Kind, dict[str, Any]] = {
    MODEL: {"modelTypeId": "t"},
    MODEL_VERSION: {
        "modelRef": {"name": "m"},
        "artifact": {"volumes": [{"name": "w", "mountPath": "/w", "configMap": {"name": "c"}}]},
        "adapter": {"image": "r/a:1"},
        "notes": "kept: a derived version needs them",
    },
    ADAPTER_UPGRADE: {"modelRef": {"name": "m"}, "adapter": {"image": "r/a:2"}, "reason": "BugFix"},
    DEPLOYMENT: {"template": {"metadata": {"annotations": {"topgraft.dev/standby-since": "t", "other.dev/a": "x"}}}},
    POD: {},
    SERVICE: {},
    ENDPOINT_SLICE: {},
    CONFIG_MAP: {},
    JOB: {},
    NETWORK_POLICY: {},
}


@pytest.mark.parametrize("kind", WATCHED, ids=lambda kind: kind.name)
def test_only_the_operators_own_annotations_are_kept(kind: Kind) -> None:
    caches = Caches(lambda key: None)
    obj = {
        "metadata": {
            "name": "m",
            "namespace": "ns",
            "uid": "u",
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"topgraft.dev/model": "m"},
            "annotations": {"topgraft.dev/applied": "a", "nottopgraft.dev/x": "y", "other.dev/large": "z" * 200_000},
        },
        "spec": SPECS[kind],
    }
    caches.watched(kind, obj, gone=False)
    (view,) = caches._by_kind[kind].owned_by(("ns", "m"))
    assert view.metadata.annotations == {"topgraft.dev/applied": "a"}
    assert obj["metadata"]["annotations"].keys() != view.metadata.annotations.keys(), "the caller's object is its own"
    if kind is DEPLOYMENT:
        assert view.spec.template.metadata.annotations == {"topgraft.dev/standby-since": "t"}
    if kind is MODEL_VERSION:
        assert view.spec.notes == SPECS[kind]["notes"]


def test_kinds_that_users_fill_come_in_small_pages() -> None:
    assert {kind.page for kind in OWN} == {20}
    assert POD.page == 100
