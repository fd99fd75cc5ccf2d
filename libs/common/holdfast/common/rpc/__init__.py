"""gRPC messages, clients and servicers of all services, generated from proto/: do not edit."""
