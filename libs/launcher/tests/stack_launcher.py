"""Run as a program: starts a stack, says who its children are, waits to be killed or told to stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from holdfast.launcher.stack import EmbeddedStack, StackError

if __name__ == "__main__":
    stack = EmbeddedStack(Path(sys.argv[1]), durable=False)
    try:
        stack.start()
    except StackError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        sys.exit(1)
    facts = {"children": stack.children, "kafka": stack.kafka_servers, "dsn": stack.postgres_dsn("kept")}
    print(json.dumps(facts), flush=True)
    sys.stdin.readline()
    stack.stop()
