"""The embedded stack: real Kafka, Postgres and S3 as child processes of one launcher."""

from holdfast.launcher.stack.embedded import EmbeddedStack
from holdfast.launcher.stack.errors import StackError
from holdfast.launcher.stack.process import DeadChild
from holdfast.launcher.stack.seaweedfs import S3Server

__all__ = ["DeadChild", "EmbeddedStack", "S3Server", "StackError"]
