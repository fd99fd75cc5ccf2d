-- The event store: facts of this service, append-only.
CREATE TABLE events (
    pos            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx             xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stream         text NOT NULL,
    version        bigint NOT NULL CHECK (version > 0),
    type           text NOT NULL,
    payload        jsonb NOT NULL,
    occurred_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    correlation_id uuid NOT NULL,
    causation_id   uuid,
    actor          text NOT NULL,
    CONSTRAINT events_stream_version UNIQUE (stream, version)
);

-- Public events on their way to Kafka. Marked when acknowledged, never read by a cursor: a slow
-- transaction that commits late must not be skipped.
CREATE TABLE outbox (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text NOT NULL,
    key          text NOT NULL,
    number       bigint NOT NULL CHECK (number > 0),
    payload      bytea NOT NULL CHECK (octet_length(payload) <= 262144),
    headers      jsonb NOT NULL,
    enqueued_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at timestamptz,
    CONSTRAINT outbox_number_once UNIQUE (topic, key, number)
);
CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL;

-- The last number given per (topic, key). Its row lock serialises writers of one key, so that within a key
-- the order of ids is the order of numbers.
CREATE TABLE outbox_number (
    topic  text NOT NULL,
    key    text NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (topic, key)
);

-- Who may mark rows as published: a relay that lost its lock carries an old epoch.
CREATE TABLE outbox_relay (
    shard smallint PRIMARY KEY,
    epoch bigint NOT NULL,
    holder text NOT NULL
);

CREATE TABLE inbox (
    consumer    text NOT NULL,
    message_id  uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, message_id)
);

CREATE TABLE stream_seen (
    consumer text NOT NULL,
    topic    text NOT NULL,
    key      text NOT NULL,
    number   bigint NOT NULL,
    PRIMARY KEY (consumer, topic, key)
);

-- Messages that cannot be handled, kept whole with the reason, so that the partition moves on.
CREATE TABLE parked (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer        text NOT NULL,
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    message_key     bytea,
    payload         bytea,
    headers         json NOT NULL, -- not jsonb, which refuses a NUL
    type            text,
    reason          text NOT NULL,
    parked_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    state           text NOT NULL DEFAULT 'parked' CHECK (state IN ('parked', 'replaying', 'replayed', 'dropped')),
    settled_at      timestamptz,
    CONSTRAINT parked_message_once UNIQUE (consumer, topic, kafka_partition, kafka_offset)
);

-- Tries of a message that keeps failing, across redeliveries and restarts.
CREATE TABLE attempt (
    consumer        text NOT NULL,
    topic           text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    tries           integer NOT NULL,
    PRIMARY KEY (consumer, topic, kafka_partition)
);

CREATE TABLE lease (
    name       text PRIMARY KEY,
    holder     text NOT NULL,
    epoch      bigint NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE command_result (
    key            text PRIMARY KEY,
    request_sha256 bytea NOT NULL,
    response       bytea NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
