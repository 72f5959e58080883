"""The Helm chart: what it grants, what it runs, and that Argo CD, Flux and `helm upgrade` can live with it."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import topgraft
import yaml
from support import charts
from support.charts import grants, of_kind, one, render
from topgraft import cli
from topgraft.api.adapterupgrade import AdapterUpgradeSpec

import manifests

OWN = "topgraft.dev"
OPERATOR_GRANTS = {
    *((OWN, plural, verb) for plural in ("models", "adapterupgrades") for verb in ("get", "list", "watch")),
    *((OWN, "modelversions", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *((OWN, f"{plural}/status", "patch") for plural in ("models", "modelversions", "adapterupgrades")),
    (OWN, "models/finalizers", "update"),
    *(("apps", "deployments", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "services", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "pods", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("batch", "jobs", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("", "configmaps", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    *(("networking.k8s.io", "networkpolicies", verb) for verb in ("get", "list", "watch", "create", "patch")),
    *(("discovery.k8s.io", "endpointslices", verb) for verb in ("get", "list", "watch", "create", "patch", "delete")),
    ("discovery.k8s.io", "endpointslices/restricted", "create"),
    ("", "persistentvolumeclaims", "get"),
    ("", "events", "list"),
    ("events.k8s.io", "events", "create"),
}
LEASE_GRANTS = {("coordination.k8s.io", "leases", verb) for verb in ("get", "create", "update")}
TWO_NAMESPACES = 'watchNamespaces=["team-a","team-b"]'
EVERYTHING = (
    "replicas=2",
    'commonLabels={"team":"ml"}',
    'image.digest="sha256:' + "0" * 64 + '"',
    'imagePullSecrets=[{"name":"registry"}]',
    'operator={"workers":5,"maxConcurrentRollouts":3,"maxConcurrentRolloutsPerNamespace":2,'
    '"armedStandby":false,"logFormat":"text","logLevel":"debug"}',
    'serviceAccount={"name":"runner","annotations":{"a":"b"}}',
    'annotations={"a":"b"}',
    'podLabels={"pod":"label"}',
    'podAnnotations={"pod":"annotation"}',
    'priorityClassName="system-cluster-critical"',
    'tolerations=[{"operator":"Exists"}]',
    'affinity={"podAntiAffinity":{}}',
    'topologySpreadConstraints=[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"ScheduleAnyway"}]',
    'metrics.podMonitor={"enabled":true,"labels":{"release":"prometheus"}}',
    'metrics.serviceMonitor={"enabled":true,"labels":{"release":"prometheus"}}',
    'networkPolicy={"enabled":true,"metricsFrom":[{"namespaceSelector":{}}]}',
    "podDisruptionBudget.enabled=true",
)
WHOLLY_NAMESPACED = (TWO_NAMESPACES, "crds.enabled=false", "rbac.aggregateClusterRoles=false")
MODES = [(), (TWO_NAMESPACES,), WHOLLY_NAMESPACED, EVERYTHING]


def operator_container(bodies: list[charts.Body]) -> dict[str, Any]:
    (container,) = one(bodies, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.mark.parametrize("values", [(), ("--values", str(manifests.CHART / "ci" / "default-values.yaml"))])
def test_helm_lint_strict_is_clean(values: tuple[str, ...]) -> None:
    done = charts.helm("lint", "--strict", str(manifests.CHART), *values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


def test_helm_is_version_4() -> None:
    assert charts.helm("version", "--template", "{{.Version}}").stdout.startswith("v4.")


class TestPermissions:
    def test_the_whole_cluster_takes_one_cluster_role(self) -> None:
        bodies = render()
        assert grants(one(bodies, "ClusterRole")) == OPERATOR_GRANTS
        assert one(bodies, "ClusterRoleBinding")["subjects"] == [
            {"kind": "ServiceAccount", "name": "topgraft", "namespace": manifests.NAMESPACE}
        ]
        assert [role["metadata"]["name"] for role in of_kind(bodies, "Role")] == ["topgraft-leader-election"]

    def test_named_namespaces_take_a_role_each_and_nothing_cluster_wide(self) -> None:
        bodies = render(*WHOLLY_NAMESPACED)
        assert not of_kind(bodies, *charts.CLUSTER_SCOPED)
        roles = {
            role["metadata"]["namespace"]: role for role in of_kind(bodies, "Role") if grants(role) != LEASE_GRANTS
        }
        assert roles.keys() == {"team-a", "team-b"}
        assert all(grants(role) == OPERATOR_GRANTS for role in roles.values())
        bindings = [b for b in of_kind(bodies, "RoleBinding") if b["roleRef"]["name"] == "topgraft"]
        assert {binding["metadata"]["namespace"] for binding in bindings} == {"team-a", "team-b"}
        assert all(binding["subjects"][0]["namespace"] == manifests.NAMESPACE for binding in bindings)

    @pytest.mark.parametrize("mode", MODES)
    def test_the_lease_is_granted_in_the_release_namespace_only(self, mode: tuple[str, ...]) -> None:
        holders = [
            role
            for role in of_kind(render(*mode), "Role", "ClusterRole")
            if any(resource == "leases" for _, resource, _ in grants(role))
        ]
        (role,) = holders
        assert (role["kind"], role["metadata"]["namespace"]) == ("Role", manifests.NAMESPACE)
        assert grants(role) == LEASE_GRANTS
        assert all(rule.get("resourceNames") == ["topgraft"] for rule in role["rules"] if rule["verbs"] != ["create"])

    @pytest.mark.parametrize("mode", MODES)
    def test_nobody_gets_secrets_wildcards_or_roles(self, mode: tuple[str, ...]) -> None:
        for role in of_kind(render(*mode), "Role", "ClusterRole"):
            for group, resource, verb in grants(role):
                assert "*" not in (group, resource, verb)
                assert resource not in ("secrets", "serviceaccounts/token", "pods/exec")
                assert group != "rbac.authorization.k8s.io"
                assert verb not in ("escalate", "bind", "impersonate")

    def test_users_get_the_kinds_by_aggregation(self) -> None:
        bodies = render()
        view, edit = one(bodies, "ClusterRole", "topgraft-view"), one(bodies, "ClusterRole", "topgraft-edit")
        assert {verb for _, _, verb in grants(view)} == {"get", "list", "watch"}
        assert {(OWN, "adapterupgrades", "create"), (OWN, "models/scale", "patch")} <= grants(edit)
        assert not any(resource.endswith("/status") for _, resource, _ in grants(edit))
        aggregate = "rbac.authorization.k8s.io/aggregate-to-"
        levels = {role["metadata"]["name"]: role["metadata"]["labels"] for role in (view, edit)}
        assert {key.removeprefix(aggregate) for key in levels["topgraft-view"] if key.startswith(aggregate)} == {
            "view",
            "edit",
            "admin",
        }
        assert aggregate + "view" not in levels["topgraft-edit"]

    def test_rbac_can_be_left_to_the_administrator(self) -> None:
        bodies = render("rbac.create=false")
        assert not of_kind(bodies, "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


class TestPods:
    @pytest.mark.parametrize("mode", MODES)
    def test_they_pass_pod_security_restricted(self, mode: tuple[str, ...]) -> None:
        (pod,) = charts.pod_templates(render(*mode))
        assert charts.restricted_violations(pod) == []
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True

    def test_the_checker_finds_what_is_not_restricted(self) -> None:
        bodies = render(
            "podSecurityContext=null", 'securityContext={"capabilities":null,"allowPrivilegeEscalation":null}'
        )
        (pod,) = charts.pod_templates(bodies)
        assert (
            len(charts.restricted_violations({**pod, "hostNetwork": True, "volumes": [{"name": "x", "hostPath": {}}]}))
            == 6
        )

    def test_the_command_line_of_the_whole_cluster(self) -> None:
        assert operator_container(render())["args"] == [
            "operator",
            "--workers=20",
            "--log-format=json",
            "--log-level=info",
        ]

    def test_every_setting_reaches_the_command_line(self) -> None:
        assert operator_container(render(TWO_NAMESPACES, *EVERYTHING))["args"] == [
            "operator",
            "--namespace=team-a",
            "--namespace=team-b",
            "--workers=5",
            "--max-concurrent-rollouts=3",
            "--max-concurrent-rollouts-per-namespace=2",
            "--no-armed-standby",
            "--log-format=text",
            "--log-level=debug",
        ]

    @pytest.mark.parametrize("mode", MODES)
    def test_the_command_takes_them(self, mode: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
        ran: list[Any] = []
        operator = SimpleNamespace(main=ran.append)
        monkeypatch.setitem(sys.modules, "topgraft.operator", operator)
        monkeypatch.setattr(topgraft, "operator", operator, raising=False)
        monkeypatch.setenv("TOPGRAFT_IMAGE", "registry.example.com/topgraft:1")
        cli.main(operator_container(render(*mode))["args"])
        (options,) = ran
        assert options.namespace == (["team-a", "team-b"] if TWO_NAMESPACES in mode else [])

    def test_the_environment_tells_where_it_is_and_which_image_preflights_use(self) -> None:
        container = operator_container(render(*EVERYTHING))
        env = {item["name"]: item for item in container["env"]}
        assert env.keys() == {"POD_NAMESPACE", "POD_NAME", "TOPGRAFT_IMAGE"}
        assert env["TOPGRAFT_IMAGE"]["value"] == container["image"]
        assert container["image"] == f"{manifests.PLACEHOLDER}:0.1.0@sha256:{'0' * 64}"

    def test_the_kubelet_asks_for_life_and_readiness(self) -> None:
        container = operator_container(render())
        assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
        assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]

    def test_a_rollout_does_not_wait_for_two_leaders(self) -> None:
        """With maxUnavailable 0 the new pod would have to be ready while the old one still holds the Lease."""
        assert one(render(), "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1

    def test_every_scheduling_value_arrives(self) -> None:
        (pod,) = charts.pod_templates(render(*EVERYTHING))
        assert pod["serviceAccountName"] == "runner"
        assert pod["imagePullSecrets"] == [{"name": "registry"}]
        assert pod["priorityClassName"] == "system-cluster-critical"
        assert pod["tolerations"] == [{"operator": "Exists"}]
        assert pod["affinity"] == {"podAntiAffinity": {}}
        assert pod["topologySpreadConstraints"][0]["topologyKey"] == "zone"
        assert pod["enableServiceLinks"] is False


class TestObjects:
    def test_what_is_optional_is_off(self) -> None:
        kinds = sorted(body["kind"] for body in render())
        assert kinds == sorted(
            ["ServiceAccount", "Deployment", "Service", "Role", "RoleBinding", "ClusterRoleBinding"]
            + ["ClusterRole", "CustomResourceDefinition"] * 3
        )

    def test_everything_can_be_switched_on(self) -> None:
        kinds = {body["kind"] for body in render(*EVERYTHING)}
        assert {"PodMonitor", "ServiceMonitor", "NetworkPolicy", "PodDisruptionBudget"} <= kinds

    def test_the_selectors_of_all_of_them_match_the_pods(self) -> None:
        bodies = render(*EVERYTHING)
        labels = one(bodies, "Deployment")["spec"]["template"]["metadata"]["labels"]
        selectors = [
            one(bodies, "Deployment")["spec"]["selector"]["matchLabels"],
            one(bodies, "Service", "topgraft-metrics")["spec"]["selector"],
            one(bodies, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
            one(bodies, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
            one(bodies, "PodMonitor")["spec"]["selector"]["matchLabels"],
        ]
        assert all(selector.items() <= labels.items() and selector for selector in selectors)
        service_labels = one(bodies, "Service", "topgraft-metrics")["metadata"]["labels"]
        assert one(bodies, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items() <= service_labels.items()

    def test_common_labels_are_on_every_object(self) -> None:
        bodies = render(*EVERYTHING)
        assert all(body["metadata"]["labels"]["team"] == "ml" for body in bodies)

    def test_every_namespaced_object_names_its_namespace(self) -> None:
        for body in render(TWO_NAMESPACES):
            assert ("namespace" in body["metadata"]) == (body["kind"] not in charts.CLUSTER_SCOPED)

    def test_names_fit_a_long_release_name(self) -> None:
        release = "a-release-name-as-long-as-helm-lets-it-be-in-all-of-it"[:53]
        for body in render(release=release):
            if body["kind"] != "CustomResourceDefinition":
                assert len(body["metadata"]["name"]) <= 63, body["metadata"]["name"]
                assert all(len(value) <= 63 for value in body["metadata"]["labels"].values())

    def test_rendering_is_deterministic(self) -> None:
        command = ["template", "topgraft", str(manifests.CHART), "--set-json", charts.IMAGE]
        assert charts.helm(*command).stdout == charts.helm(*command).stdout

    def test_no_template_looks_at_the_cluster_or_draws_lots(self) -> None:
        for path in (manifests.CHART / "templates").iterdir():
            for name in ("lookup", "rand", "uuidv4", "genCA", "now", "IsInstall", "IsUpgrade", "helm.sh/hook"):
                assert name not in path.read_text().split("/*")[0].split(), f"{path.name} uses {name}"


class TestDefinitions:
    def test_they_are_those_of_the_repository(self) -> None:
        rendered = {body["metadata"]["name"]: body["spec"] for body in of_kind(render(), "CustomResourceDefinition")}
        wanted = [yaml.safe_load(path.read_text()) for path in (manifests.ROOT / "crds").glob("*.yaml")]
        assert rendered == {body["metadata"]["name"]: body["spec"] for body in wanted}
        assert len(wanted) == 3

    def test_they_are_kept_on_uninstall_and_from_pruning(self) -> None:
        for body in of_kind(render(), "CustomResourceDefinition"):
            annotations = body["metadata"]["annotations"]
            assert annotations["helm.sh/resource-policy"] == "keep"
            assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
            assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"

    def test_keeping_and_installing_them_can_be_refused(self) -> None:
        for body in of_kind(render("crds.keep=false"), "CustomResourceDefinition"):
            assert not body["metadata"].get("annotations")
        assert not of_kind(render("crds.enabled=false"), "CustomResourceDefinition")


class TestValues:
    @pytest.mark.parametrize(
        ("setting", "field"),
        [
            ("replica=2", "replica"),
            ('replicas="two"', "replicas"),
            ("operator.worker=3", "worker"),
            ("operator.workers=0", "workers"),
            ("operator.maxConcurrentRollouts=0", "maxConcurrentRollouts"),
            ("operator.maxConcurrentRolloutsPerNamespace=0", "maxConcurrentRolloutsPerNamespace"),
            ('operator.logFormat="yaml"', "logFormat"),
            ('operator.logLevel="trace"', "logLevel"),
            ('watchNamespaces="team-a"', "watchNamespaces"),
            ('watchNamespaces=["Team A"]', "watchNamespaces"),
            ('image.digest="latest"', "digest"),
            ('image.pullPolicy="Sometimes"', "pullPolicy"),
            ("crds.remove=true", "remove"),
            ('metrics.podMonitor.interval="soon"', "interval"),
            ("networkPolicy.apiServerPorts=[70000]", "apiServerPorts"),
            ('podLabels={"a":1}', "podLabels"),
        ],
    )
    def test_a_bad_one_is_refused_by_name(self, setting: str, field: str) -> None:
        assert field in charts.refusal(setting)

    def test_a_missing_image_is_told_with_the_remedy(self) -> None:
        assert "--set image.repository=" in charts.refusal('image.repository=""')

    def test_a_service_monitor_needs_its_service(self) -> None:
        text = charts.refusal("metrics.serviceMonitor.enabled=true", "metrics.service.enabled=false")
        assert "metrics.service.enabled" in text

    def test_the_schema_knows_exactly_the_documented_values(self) -> None:
        schema = yaml.safe_load((manifests.CHART / "values.schema.json").read_text())
        defaults = yaml.safe_load((manifests.CHART / "values.yaml").read_text())

        def compare(value: Any, node: dict[str, Any], path: str) -> None:
            node = schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
            if "properties" in node and path != ".resources":
                assert node["additionalProperties"] is False, path
                assert value.keys() == node["properties"].keys() - {"global"}, path
                for key, inner in value.items():
                    compare(inner, node["properties"][key], f"{path}.{key}")

        compare(defaults, schema, "")

    def test_the_readme_table_is_current(self) -> None:
        assert manifests.readme() == (manifests.CHART / "README.md").read_text()


class TestMetadata:
    chart = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())

    def test_the_chart_says_what_it_needs_and_is(self) -> None:
        assert self.chart["kubeVersion"] == ">=1.32.0-0"
        project = (manifests.ROOT / "pyproject.toml").read_text()
        assert f'version = "{self.chart["appVersion"]}"' in project

    def test_the_annotations_for_artifact_hub_are_true(self) -> None:
        annotations = self.chart["annotations"]
        listed = {(c["kind"], c["name"], c["version"]) for c in yaml.safe_load(annotations["artifacthub.io/crds"])}
        installed = {
            (b["spec"]["names"]["kind"], b["metadata"]["name"], b["spec"]["versions"][0]["name"])
            for b in of_kind(render(), "CustomResourceDefinition")
        }
        assert listed == installed

    def test_the_examples_are_valid(self) -> None:
        (example,) = yaml.safe_load(self.chart["annotations"]["artifacthub.io/crdsExamples"])
        AdapterUpgradeSpec.model_validate(example["spec"])

    def test_the_notes_name_the_next_command(self) -> None:
        command = ["install", "topgraft", str(manifests.CHART), "--set-json", charts.IMAGE, "--dry-run=client"]
        notes = charts.helm(*command, "--namespace", "ops", "--set", "watchNamespaces={team-a}")
        assert "kubectl --namespace ops rollout status deployment/topgraft" in notes.stdout, notes.stderr
        assert "kubectl --namespace team-a apply -f model.yaml" in notes.stdout


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://mlflow.ml:5000", 5000),
        ("https://mlflow.example.org/api", 443),
        ("http://mlflow", 80),
        ("https://[fd00::1]:8443", 8443),
        ("https://[fd00::1]", 443),
    ],
)
def test_the_network_policy_lets_the_operator_out_to_mlflow(url: str, port: int) -> None:
    def out(*values: str) -> set[int]:
        (egress,) = one(render("networkPolicy.enabled=true", *values), "NetworkPolicy")["spec"]["egress"]
        return {entry["port"] for entry in egress["ports"]}

    alone = {53, 443, 6443, 8080, 9090}
    assert out() == alone
    assert out(f'operator.mlflow="{url}"') == alone | {port}
