"""Settings that every service shares; each comes from an environment variable `HOLDFAST_<NAME>`."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

KEY_BYTES = 32


class Settings(BaseSettings):
    """Where things are and how to log. Services subclass this with their own fields.

    Attributes:
        data: Folder for what a process keeps on local disk (scratch pages, caches).
        kafka: Bootstrap servers, `host:port[,host:port]`.
        kafka_partitions: Partitions of a topic that is created; 6 lets six replicas share the work.
        instance: A name that this process keeps over restarts and shares with no other running process of the same
            services (a pod's name). With it a restart after a crash takes over its partitions and leases at once;
            without it they are free when their sessions expire.
        kafka_prefix: Put before every topic and group name, for installations that share a Kafka cluster.
        kafka_replication: Replicas of a topic that is created; 1 fits the embedded broker.
        postgres: DSN of the database; each service has its own schema in it.
        object_store: `file:///folder` or `s3://bucket/prefix`.
        internal_token: Shared by the services for gRPC; an empty one is refused.
        secret_key: 32 bytes in base64; the envelope key for credentials.
        metrics_http: `host:port` where Prometheus finds `/metrics` of this process; empty for nowhere.
        otlp_endpoint: Where traces are sent by OTLP over HTTP, the whole URL (`http://127.0.0.1:4318/v1/traces`).
        allow_insecure_salesforce: Lets an `http://127.0.0.1` org be used; for the local org only.
    """

    model_config = SettingsConfigDict(env_prefix="HOLDFAST_", extra="ignore")

    data: Path = Path("holdfast-data")
    kafka: str = "127.0.0.1:9092"
    kafka_partitions: int = Field(default=6, ge=1, le=1000)
    instance: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,100}$")
    kafka_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._-]{0,60}$")
    kafka_replication: int = Field(default=1, ge=1, le=7)
    postgres: str = "postgresql://127.0.0.1:5432/holdfast"
    object_store: str = "file:///var/lib/holdfast/vault"
    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    internal_token: SecretStr
    connections_grpc: str = "127.0.0.1:7101"
    scheduler_grpc: str = "127.0.0.1:7102"
    extractor_grpc: str = "127.0.0.1:7103"
    differ_grpc: str = "127.0.0.1:7104"
    history_grpc: str = "127.0.0.1:7105"
    gateway_http: str = "127.0.0.1:7100"
    secret_key: SecretStr
    allow_insecure_salesforce: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    metrics_http: str = Field(default="", pattern=r"^(\S+:\d{1,5})?$")
    otlp_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")

    @field_validator("internal_token")
    @classmethod
    def _token_is_set(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().strip():
            raise ValueError("HOLDFAST_INTERNAL_TOKEN is empty: give the services a shared secret")
        return value

    @field_validator("secret_key")
    @classmethod
    def _key_has_its_length(cls, value: SecretStr) -> SecretStr:
        try:
            raw = base64.b64decode(value.get_secret_value(), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("HOLDFAST_SECRET_KEY is not base64") from None
        if len(raw) != KEY_BYTES:
            raise ValueError(f"HOLDFAST_SECRET_KEY must be {KEY_BYTES} bytes in base64")
        return value

    def on_kafka(self, name: str) -> str:
        """A topic's or group's name as this installation's Kafka knows it."""
        return self.kafka_prefix + name

    def envelope_key(self) -> bytes:
        """The bytes of `secret_key`."""
        return base64.b64decode(self.secret_key.get_secret_value())
