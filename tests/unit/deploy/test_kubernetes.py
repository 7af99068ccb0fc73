"""deploy/kubernetes: valid by Kubernetes' own schemas, confined, and true to the code that it starts."""

import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from alerts.settings import Settings as AlertsSettings
from dicom_listener.settings import Settings as ListenerSettings
from monitoring.settings import MonitoringSettings
from streams.contracts.topics import SLICES
from streams.settings import StreamsSettings
from tests.unit.deploy.compose import ROOT, environment, services
from tocsin.heartbeat_settings import HeartbeatSettings
from tocsin.kafka.topics import TopicLayout

FOLDER = ROOT / "deploy" / "kubernetes"
VERSION = "1.31"
WORKLOADS = {"StatefulSet", "Deployment", "Job"}
COLLECTOR = "OTEL_EXPORTER_OTLP_ENDPOINT"
FROM_ELSEWHERE = {COLLECTOR, "KAFKA_BOOTSTRAP_SERVERS", "TOCSIN_SITE_SECRET_FILE", "TOCSIN_IDENTITY_KEY_FILE"}
SETTINGS: dict[str, tuple[Any, str]] = {
    "listener": (ListenerSettings, "TOCSIN_LISTENER_"),
    "streams": (StreamsSettings, "TOCSIN_STREAMS_"),
    "alerts": (AlertsSettings, "TOCSIN_ALERTS_"),
    "monitoring": (MonitoringSettings, "TOCSIN_MONITORING_"),
    "heartbeat": (HeartbeatSettings, "TOCSIN_HEARTBEAT_"),
}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(FOLDER.glob("*.yaml")):
        if file.name != "kustomization.yaml":
            for document in yaml.safe_load_all(file.read_text()):
                yield f"{file.name}: {document['kind']} {document['metadata']['name']}", document


DOCUMENTS = dict(documents())
ALL = {f"{d['kind']} {d['metadata']['name']}": d for d in DOCUMENTS.values()}
PODS = {d["metadata"]["name"]: d["spec"]["template"] for d in DOCUMENTS.values() if d["kind"] in WORKLOADS}


@pytest.mark.parametrize("name", [name for name, d in DOCUMENTS.items() if d["kind"] != "ScaledObject"])
def test_it_is_valid_by_the_schema_of_its_kind(name: str) -> None:
    kubernetes_validate.validate(DOCUMENTS[name], VERSION, strict=True)


def test_a_mistake_would_be_noticed() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**ALL["StatefulSet listener"], "spec": {"replicas": "two"}}, VERSION, strict=True)


def test_the_kustomization_names_each_file() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert set(kustomization["resources"]) == {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    assert {image["name"] for image in kustomization["images"]} == {
        container["image"] for pod in PODS.values() for container in pod["spec"]["containers"]
    }


@pytest.mark.parametrize("name", sorted(PODS))
def test_a_pod_is_restricted(name: str) -> None:
    """Kubernetes' Pod Security Standard *restricted*, and a read-only root."""
    spec = PODS[name]["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    assert {mount["name"] for mount in container["volumeMounts"]} >= {"tmp"}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_each_environment_name_is_a_setting(name: str) -> None:
    settings, prefix = SETTINGS[name]
    (container,) = PODS[name]["spec"]["containers"]
    known = {f"{prefix}{field.upper()}" for field in settings.model_fields} | FROM_ELSEWHERE
    assert {variable["name"] for variable in container["env"]} <= known


def test_whoever_sends_traces_in_compose_does_so_here_and_may_reach_the_collector() -> None:
    tracing = {name for name in set(services()) & set(PODS) if COLLECTOR in environment(name)}
    assert tracing == {"listener", "streams", "alerts"}
    assert {name for name, pod in PODS.items() if COLLECTOR in names_in(pod)} == tracing
    policy = ALL["NetworkPolicy traces"]["spec"]
    (selector,) = policy["podSelector"]["matchExpressions"]
    assert set(selector["values"]) == tracing
    assert policy["egress"][0]["ports"] == [{"port": 4318}]


def names_in(pod: dict[str, Any]) -> set[str]:
    """Of a pod's environment, those from whole config maps included."""
    (container,) = pod["spec"]["containers"]
    maps = [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
    return {variable["name"] for variable in container["env"]}.union(*(ALL[f"ConfigMap {m}"]["data"] for m in maps))


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_ports_are_the_settings_own(name: str) -> None:
    settings, _ = SETTINGS[name]
    (container,) = PODS[name]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["metrics"] == settings.model_fields["metrics_port"].default
    assert PODS[name]["metadata"]["annotations"]["prometheus.io/port"] == str(ports["metrics"])
    if name == "listener":
        assert ports["dicom"] == settings.model_fields["port"].default
    if name == "heartbeat":
        assert ports["alerts"] == settings.model_fields["webhook_port"].default


def test_every_reference_leads_somewhere() -> None:
    settings = ALL["ConfigMap tocsin"]["data"]
    for name, pod in PODS.items():
        for variable in pod["spec"]["containers"][0]["env"]:
            reference = variable.get("valueFrom", {}).get("configMapKeyRef")
            assert reference is None or reference["key"] in settings, f"{name}: {reference}"
    made = re.findall(r'^        "([a-z_.]+)":', (ROOT / "deploy" / "make_secrets.py").read_text(), re.MULTILINE)
    for name, pod in PODS.items():
        for volume in pod["spec"]["volumes"]:
            for item in volume.get("secret", {}).get("items", []):
                assert item["key"] in made, f"{name} wants the secret {item['key']}, which nothing makes"


def test_workers_are_scaled_by_the_lag_of_their_own_group_and_not_beyond_the_partitions() -> None:
    scaled = ALL["ScaledObject streams"]["spec"]
    target = scaled["scaleTargetRef"]
    assert f"{target['kind']} {target['name']}" in ALL
    (trigger,) = scaled["triggers"]
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["consumerGroup"] == StreamsSettings.model_fields["app_id"].default
    assert trigger["metadata"]["topic"] == SLICES.name
    assert trigger["metadata"]["bootstrapServers"] == ALL["ConfigMap tocsin"]["data"]["KAFKA_BOOTSTRAP_SERVERS"]
    assert scaled["maxReplicaCount"] == TopicLayout.partitions
    assert scaled["minReplicaCount"] >= 2
    assert all(isinstance(value, str) for value in trigger["metadata"].values()), "KEDA takes text only"


def test_whoever_has_a_budget_has_more_than_one_pod() -> None:
    for name, document in ALL.items():
        if document["kind"] == "PodDisruptionBudget":
            selected = document["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"]
            assert ALL[f"StatefulSet {selected}"]["spec"]["replicas"] >= 2, name


def test_what_is_not_allowed_is_forbidden_and_policies_name_real_pods_and_ports() -> None:
    policies = {name: d["spec"] for name, d in ALL.items() if d["kind"] == "NetworkPolicy"}
    assert policies["NetworkPolicy nothing-by-default"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    text = (FOLDER / "network.yaml").read_text()
    assert set(re.findall(r"app.kubernetes.io/name: (\w+)", text)) <= set(PODS)
    named = {port["name"] for pod in PODS.values() for c in pod["spec"]["containers"] for port in c.get("ports", [])}
    assert set(re.findall(r"port: ([a-z]+)", text)) <= named


def test_a_spool_outlives_its_pod_and_has_room_for_all_that_the_listener_may_spool() -> None:
    listener = ALL["StatefulSet listener"]["spec"]
    (claim,) = listener["volumeClaimTemplates"]
    size = claim["spec"]["resources"]["requests"]["storage"]
    assert int(size.removesuffix("Gi")) * 2**30 > ListenerSettings.model_fields["spool_max_bytes"].default
    assert listener["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
