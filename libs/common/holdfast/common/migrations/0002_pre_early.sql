-- Messages that came before their predecessor, kept whole until it has been handled: only their key waits,
-- and what is sent again may pass them.
CREATE TABLE early (
    consumer        text NOT NULL,
    topic           text NOT NULL,
    key             text NOT NULL,
    number          bigint NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    message_key     bytea,
    payload         bytea,
    headers         json NOT NULL, -- not jsonb, which refuses a NUL
    came_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, topic, key, number)
);
