"""Public events: what services say to each other and to other teams on Kafka.

One module per producer. The type of an event is `holdfast.<service>.<subject>.<past participle>.v<major>`;
its topic is the type without participle and version; its key is the subject's id. A change that old readers
cannot follow needs a new major version beside the old one; golden schemas in `contracts/golden/` hold
the line.
"""
