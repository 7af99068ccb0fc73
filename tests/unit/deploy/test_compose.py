"""docker-compose.yml: valid by the Compose Specification, confined, and true to the code that it starts."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from alerts.errors import SettingsRefused
from alerts.recipients import Webhook
from alerts.settings import load_recipients, load_settings
from dicom_listener.settings import Settings as ListenerSettings
from monitoring.settings import MonitoringSettings
from streams.contracts.topics import MAX_MESSAGE_BYTES
from streams.settings import StreamsSettings
from tests.unit.deploy.compose import OURS, ROOT, TEXT, document, environment, services, variables
from tocsin.heartbeat_settings import HeartbeatSettings
from tocsin.kafka.distribution import KAFKA_VERSION
from tocsin.scanner import Destination

ONE_SHOT = {"topics"}
FROM_ELSEWHERE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "KAFKA_BOOTSTRAP_SERVERS",
    "TOCSIN_SITE_SECRET_FILE",
    "TOCSIN_IDENTITY_KEY_FILE",
}
SETTINGS = {
    "listener": (ListenerSettings, "TOCSIN_LISTENER_"),
    "streams": (StreamsSettings, "TOCSIN_STREAMS_"),
    "monitoring": (MonitoringSettings, "TOCSIN_MONITORING_"),
    "streams-gpu": (StreamsSettings, "TOCSIN_STREAMS_"),
}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "made"
    subprocess.run([sys.executable, ROOT / "deploy" / "make_secrets.py", folder], check=True, capture_output=True)
    return folder


def mounted(service: str, secrets: Path, at: Path) -> None:
    """The service's secrets, under the names that it sees them by."""
    at.mkdir()
    for use in services()[service].get("secrets", []):
        source, target = (use, use) if isinstance(use, str) else (use["source"], use["target"])
        (at / target).write_bytes((secrets / Path(document()["secrets"][source]["file"]).name).read_bytes())


def test_it_is_valid_by_the_compose_specification() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(document())


def test_a_mistake_would_be_noticed() -> None:
    schema = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())
    wrong = {**document(), "services": {"kafka": {"imagine": "apache/kafka"}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft201909Validator(schema).validate(wrong)


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_reads_it() -> None:
    done = subprocess.run(["docker-compose", "--file", ROOT / "docker-compose.yml", "config"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert set(yaml.safe_load(done.stdout)["services"]) == set(services())


@pytest.mark.parametrize("name", sorted(services()))
def test_a_container_has_no_rights_beyond_its_own_files(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), "a number, so that nobody has to look into the image"
    assert {"cpus", "memory"} <= set(service["deploy"]["resources"]["limits"])
    assert service["pids_limit"]
    assert service["restart"] == ("on-failure" if name in ONE_SHOT else "unless-stopped")
    assert name in ONE_SHOT or service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", sorted(services()))
def test_an_image_has_a_fixed_tag(name: str) -> None:
    assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9]+)?", services()[name]["image"])


def test_only_the_dicom_port_can_be_opened_to_the_network() -> None:
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"
    assert re.findall(r"\$\{(TOCSIN_\w+_BIND)", TEXT) == ["TOCSIN_DICOM_BIND"]


def test_kafka_and_the_database_cannot_reach_the_internet() -> None:
    networks = document()["networks"]
    for name in ("kafka", "postgres"):
        assert all(networks[network].get("internal") for network in services()[name]["networks"])


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_each_environment_name_is_a_setting_and_its_value_is_valid(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, prefix = SETTINGS[name]
    known = {f"{prefix}{field.upper()}" for field in settings.model_fields} | FROM_ELSEWHERE
    assert set(environment(name)) <= known
    for key, value in environment(name).items():
        monkeypatch.setenv(key, value)
    assert settings().kafka_bootstrap_servers == "kafka:9092"


def test_the_alert_service_starts_with_its_environment_and_secrets(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "run" / "secrets"
    at.parent.mkdir()
    mounted("alerts", secrets, at)
    (at / "recipients").write_text("recipients: [{name: dr, email: dr@hospital.example}]")
    (at / "tocsin_alerts_smtp").write_text('{"host": "smtp.hospital.example", "sender": "tocsin@hospital.example"}')
    for key, value in environment("alerts").items():
        monkeypatch.setenv(key, value.replace("/run/secrets", str(at)))
    monkeypatch.setenv("TOCSIN_SECRETS_DIR", str(at))
    settings = load_settings()
    password = (secrets / "postgres_password").read_text()
    assert settings.database_url == f"postgresql+psycopg://tocsin:{password}@postgres:5432/tocsin"
    assert settings.identity_key_file is not None
    assert len(settings.identity_key_file.read_bytes()) == 32
    recipients = load_recipients(settings)
    assert recipients is not None
    assert recipients.names == ("dr",)


def test_the_heart_and_the_alert_service_agree_on_the_test_recipient(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = tmp_path / "mounted"
    mounted("heartbeat", secrets, at)
    assert set(environment("heartbeat")) <= {
        f"TOCSIN_HEARTBEAT_{field.upper()}" for field in HeartbeatSettings.model_fields
    } | {"TOCSIN_SITE_SECRET_FILE"}
    for key, value in environment("heartbeat").items():
        monkeypatch.setenv(key, value.replace("/run/secrets", str(at)))
    heart = HeartbeatSettings(_secrets_dir=at)
    told = Webhook.model_validate_json((secrets / "heartbeat_webhook").read_bytes())
    assert told.secret == heart.webhook.secret
    assert told.url == f"http://heartbeat:{heart.webhook_port}/alerts"
    assert Destination.parse(heart.to) == Destination("TOCSIN", "listener", 11112)
    assert set(services()["heartbeat"]["networks"]) & set(services()["listener"]["networks"]) >= {"heartbeat"}


def test_as_made_nobody_is_told_and_so_the_alert_service_refuses_to_start(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted("alerts", secrets, tmp_path / "mounted")
    for key, value in environment("alerts").items():
        monkeypatch.setenv(key, value.replace("/run/secrets", str(tmp_path / "mounted")))
    monkeypatch.setenv("TOCSIN_SECRETS_DIR", str(tmp_path / "mounted"))
    settings = load_settings()
    assert settings.smtp is None
    with pytest.raises(SettingsRefused, match="RECIPIENTS_FILE"):
        load_recipients(settings)


def test_every_secret_is_made_by_the_script_and_its_folder_is_closed(secrets: Path) -> None:
    assert {Path(secret["file"]).name for secret in document()["secrets"].values()} == {
        f.name for f in secrets.iterdir()
    }
    assert secrets.stat().st_mode & 0o077 == 0
    before = {file.name: file.read_bytes() for file in secrets.iterdir()}
    subprocess.run([sys.executable, ROOT / "deploy" / "make_secrets.py", secrets], check=True, capture_output=True)
    assert {file.name: file.read_bytes() for file in secrets.iterdir()} == before, "a second run changes nothing"


def test_ports_match() -> None:
    for name, port_setting in {
        "listener": "TOCSIN_LISTENER_METRICS_PORT",
        "streams": "TOCSIN_STREAMS_METRICS_PORT",
        "alerts": "TOCSIN_ALERTS_METRICS_PORT",
        "heartbeat": "TOCSIN_HEARTBEAT_METRICS_PORT",
        "monitoring": "TOCSIN_MONITORING_METRICS_PORT",
    }.items():
        assert services()[name]["healthcheck"]["test"][-1] == environment(name)[port_setting]
    (dicom,) = services()["listener"]["ports"]
    assert dicom.rsplit(":", 1)[1] == environment("listener")["TOCSIN_LISTENER_PORT"]


def test_volumes_are_declared_and_the_listener_s_spool_is_one() -> None:
    used = {m.split(":")[0] for service in services().values() for m in service.get("volumes", []) if m[0] != "."}
    assert used == set(document()["volumes"])
    assert f"spool:{environment('listener')['TOCSIN_LISTENER_SPOOL_DIR']}" in services()["listener"]["volumes"]


def test_every_mounted_folder_is_in_the_repository() -> None:
    mounts = [m.split(":") for service in services().values() for m in service.get("volumes", []) if m[0] == "."]
    assert len(mounts) >= 4
    for source, *_ in mounts:
        assert any((ROOT / source).rglob("*.*")), source


def test_prometheus_finds_every_service_under_its_name_and_port() -> None:
    prometheus = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    found = {}
    for job in prometheus["scrape_configs"]:
        for discovery in job["dns_sd_configs"]:
            found |= dict.fromkeys(discovery["names"], discovery["port"])
    for name, port in found.items():
        assert "watch" in services()[name]["networks"], name
        assert services()[name]["healthcheck"]["test"][-1].endswith((str(port), f":{port}/metrics")), name
    assert OURS - {"topics"} <= set(found)


def test_kafka_is_the_version_and_has_the_limits_of_the_embedded_one() -> None:
    kafka = environment("kafka")
    assert services()["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert kafka["KAFKA_MESSAGE_MAX_BYTES"] == kafka["KAFKA_REPLICA_FETCH_MAX_BYTES"] == str(MAX_MESSAGE_BYTES)


def test_the_example_lists_each_variable_with_its_default() -> None:
    lines = (ROOT / "deploy" / "env.example").read_text().splitlines()
    assert dict(line.split("=", 1) for line in lines if line and line[0] != "#") == variables()


def test_the_image_s_sources_reach_the_builder() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert {source.rstrip("/") for line in copied for source in line.split()} == allowed
    packages = re.search(r"targets\.wheel\]\npackages = \[(.+)\]\n", (ROOT / "pyproject.toml").read_text())
    assert packages is not None
    assert set(json.loads(f"[{packages[1]}]")) <= allowed


def test_our_services_run_as_the_user_of_the_image() -> None:
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    assert {services()[name]["user"] for name in OURS} == {"10001:10001"}
