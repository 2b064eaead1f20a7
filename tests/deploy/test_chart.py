"""deploy/chart, rendered by the real helm: valid on each Kubernetes that it says it is for, and as strict."""

from typing import Any

import kubernetes_validate
import pytest
from harness.charts import ROLES, SETS, matches, objects, of_kind, one, workload, workloads
from harness.helm import CHART, run

pytestmark = pytest.mark.xdist_group("chart")

VERSIONS = ("1.30", "1.34", kubernetes_validate.latest_version())
"""The oldest that Chart.yaml names, one between, and the newest whose schemas there are."""
OF_OTHERS = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}
"""Their schemas are no part of Kubernetes: see test_chart_watching.py."""


@pytest.mark.parametrize("name", SETS)
def test_lint_finds_nothing(name: str) -> None:
    """Strictly: a warning would fail."""
    run("lint", "--strict", str(CHART), values=SETS[name])


@pytest.mark.parametrize(("name", "version"), [("default", VERSIONS[-1]), ("bare", VERSIONS[-1])])
def test_every_object_is_one_of_kubernetes(name: str, version: str) -> None:
    """By the schema of its kind, where nothing unknown is let through."""
    for found in objects(name):
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_option_is_one_of_each_kubernetes(version: str) -> None:
    """All of them on, on each of these."""
    for found in objects("full"):
        if found["kind"] not in OF_OTHERS:
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_names_are_the_releases_own_and_no_secret_is_made(name: str) -> None:
    """Two releases in a namespace don't meet; what is secret stays with who made it."""
    seen = [(found["kind"], found["metadata"]["name"]) for found in objects(name)]
    assert len(set(seen)) == len(seen)
    prefix = "feeds" if name == "bare" else "wiki"
    assert all(found.startswith(prefix) for _, found in seen)
    assert not of_kind(name, "Secret")
    for pod in workloads(name):
        assert all("valueFrom" not in entry for entry in pod.container.get("env", ()))
        assert not [key for key in pod.environ if key.endswith(("PASSWORD", "SECRET"))]


# ── how pods run ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SETS)
def test_pods_are_restricted(name: str) -> None:
    """What the Pod Security Standard `restricted` (of Kubernetes 1.37) asks for, control by control, and
    beyond it: nothing of the image can be written, and Kubernetes's API gets no token.
    """
    found = list(workloads(name))
    assert len(found) == len(ROLES) + 1 + ("canary" in str(SETS[name]))
    for each in found:
        assert not violations(each.pod), each.name
        assert each.pod["automountServiceAccountToken"] is False
        assert each.container["securityContext"]["readOnlyRootFilesystem"] is True
        writable = {mount["mountPath"] for mount in each.container.get("volumeMounts", ())
                    if not mount.get("readOnly")}  # fmt: skip
        assert writable <= {"/tmp"}


def violations(pod: dict[str, Any]) -> list[str]:
    """Of the standard's controls, baseline's and restricted's."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"}
    allowed |= {"persistentVolumeClaim", "projected", "secret"}
    for volume in pod.get("volumes", ()):
        found += [f"volume {kind}" for kind in volume.keys() - {"name"} - allowed]
    outer = pod.get("securityContext", {})
    found += [f"pod {key}" for key in ("sysctls", "seLinuxOptions", "appArmorProfile") if key in outer]
    for container in pod["containers"]:
        own = container.get("securityContext", {})
        both = {**outer, **own}
        found += [key for key in ("privileged", "procMount", "seLinuxOptions") if own.get(key)]
        found += [f"hostPort {port}" for port in container.get("ports", ()) if port.get("hostPort")]
        if own.get("allowPrivilegeEscalation") is not False:
            found.append("allowPrivilegeEscalation")
        if both.get("runAsNonRoot") is not True or not both.get("runAsUser", 1):
            found.append("root")
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            found.append("seccompProfile")
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
            found.append("capabilities")
    return found


def test_the_check_of_pods_sees_what_is_wrong() -> None:
    """A pod that says nothing fails by four controls."""
    assert sorted(violations({"containers": [{}]})) == [
        "allowPrivilegeEscalation",
        "capabilities",
        "root",
        "seccompProfile",
    ]


@pytest.mark.parametrize("role", ROLES)
def test_updates_and_scaling(role: str) -> None:
    """The source is one, gone before the next comes, and replaced soon where its node is lost. Of the others
    none goes before another is ready, and their number is left alone where something else sets it.
    """
    plain, scaled = (one(name, "Deployment", f"-{role}")["spec"] for name in ("default", "full"))
    soon = {(t["key"], t["tolerationSeconds"]) for t in plain["template"]["spec"].get("tolerations", ())}
    if role == "source":
        assert soon == {(f"node.kubernetes.io/{how}", 30) for how in ("not-ready", "unreachable")}
        assert plain["replicas"] == scaled["replicas"] == 1
        assert plain["strategy"] == {"type": "Recreate"}
        return
    assert not soon
    assert plain["replicas"] == 2
    assert "replicas" not in scaled
    assert plain["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    scalers = [*of_kind("full", "HorizontalPodAutoscaler"), *of_kind("full", "ScaledObject")]
    targets = [found["spec"]["scaleTargetRef"]["name"] for found in scalers]
    assert targets.count(f"wiki-streamer-{role}") == 1


@pytest.mark.parametrize("name", SETS)
def test_selectors_find_their_pods_and_no_others(name: str) -> None:
    """Those of Deployments, Services, budgets and policies: each role's are its own; the admin Service's are
    all roles', and not the canary's.
    """
    pods = {pod.labels["app.kubernetes.io/component"]: pod.labels for pod in workloads(name)}

    def found(selector: dict[str, str]) -> set[str]:
        return {role for role, labels in pods.items() if matches(selector, labels)}

    for deployment in of_kind(name, "Deployment"):
        role = deployment["metadata"]["labels"]["app.kubernetes.io/component"]
        assert found(deployment["spec"]["selector"]["matchLabels"]) == {role}
        for spread in deployment["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
            assert found(spread["labelSelector"]["matchLabels"]) == {role}
    assert found(one(name, "Service", "-deliver")["spec"]["selector"]) == {"deliver"}
    assert found(one(name, "Service", "-admin")["spec"]["selector"]) == set(ROLES)
    budgets = of_kind(name, "PodDisruptionBudget")
    assert [found(it["spec"]["selector"]["matchLabels"]) for it in budgets] == [
        {role} for role in sorted(ROLES) if budgets
    ]
    for policy in of_kind(name, "NetworkPolicy"):
        (role,) = found(policy["spec"]["podSelector"]["matchLabels"])
        assert policy["metadata"]["name"].endswith(f"-{role}")


def test_secrets_are_mounted_so_that_changes_arrive() -> None:
    """No file is mounted by itself (a subPath never changes); partners.toml is there for whoever serves
    partners, and each secret for the one role that needs it.
    """
    mounted: dict[str, set[str]] = {}
    for role in ROLES:
        each = workload("full", role)
        assert not [mount for mount in each.container["volumeMounts"] if "subPath" in mount]
        volumes = {volume["name"]: volume for volume in each.pod["volumes"]}
        assert {mount["name"] for mount in each.container["volumeMounts"]} == volumes.keys()
        for volume in volumes.values():
            if secret := volume.get("secret"):
                mounted.setdefault(secret["secretName"], set()).add(role)
                assert secret["defaultMode"] == 0o440
    assert mounted == {
        "streamer-partners": {"enrich", "route", "deliver"},
        "streamer-privacy": {"route"},
        "streamer-tickets": {"deliver"},
        "events-cluster-ca-cert": set(ROLES),
        "prod-source": {"source"},
        "prod-enrich": {"enrich"},
        "router-password": {"route"},
        "prod-deliver": {"deliver"},
    }


# ── who may speak to whom ────────────────────────────────────────────────────────────────────────


def test_what_the_network_lets_through() -> None:
    """To deliver's port: the ingress controller, the canary and the pod of `helm test`. To the admin ports:
    monitoring. Out: names, the brokers by their ports, those of their addresses too, 443 for who asks wikis;
    the canary no broker.
    """
    wikis = {"source", "enrich", "canary"}
    for policy in of_kind("full", "NetworkPolicy"):
        role, spec = policy["metadata"]["name"].rpartition("-")[2], policy["spec"]
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        into = {rule["ports"][0]["port"]: rule["from"] for rule in spec["ingress"]}
        assert into.keys() == ({"admin", "http"} if role == "deliver" else {"admin"})
        assert [namespace(peer) for peer in into["admin"]] == ["monitoring"]
        if role == "deliver":
            *own, ingress = into["http"]
            assert namespace(ingress) == "ingress-nginx"
            parts = [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in own]
            assert parts == ["canary", "test"]
        out = {
            (port["protocol"], port["port"]): [namespace(peer) for peer in rule.get("to", ())]
            for rule in spec["egress"]
            for port in rule["ports"]
        }
        assert out.pop(("TCP", 53)) == out.pop(("UDP", 53)) == ["kube-system"]
        assert out.pop(("TCP", 8443)) == []
        assert (out.pop(("TCP", 443), None) is not None) == (role in wikis)
        if role == "canary":
            assert out == {("TCP", "http"): [""]}
        else:
            assert out == {("TCP", port): ["kafka"] for port in (9092, 9093, 9096)}


def namespace(peer: dict[str, Any]) -> str:
    labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
    return str(labels.get("kubernetes.io/metadata.name", ""))


@pytest.mark.parametrize(
    ("name", "buffering", "timeout"),
    [
        ("full", ("nginx.ingress.kubernetes.io/proxy-buffering", "off"), "nginx.ingress.kubernetes.io"),
        ("bare", ("nginx.org/proxy-buffering", "False"), "nginx.org"),
    ],
)
def test_ingress_neither_holds_back_nor_cuts(name: str, buffering: tuple[str, str], timeout: str) -> None:
    """By the words of either controller: no buffer, an hour without a byte, and never without TLS."""
    found = one(name, "Ingress")
    annotations = found["metadata"]["annotations"]
    assert annotations[buffering[0]] == buffering[1]
    assert annotations[f"{timeout}/proxy-read-timeout"].rstrip("s") == "3600"
    (rule,) = found["spec"]["rules"]
    assert found["spec"]["tls"][0]["hosts"] == [rule["host"]]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    service = one(name, "Service", "-deliver")
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] == service["spec"]["ports"][0]["name"]
