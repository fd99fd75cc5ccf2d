-- The connections, as their events left them.
CREATE TABLE connection (
    connection_id     uuid PRIMARY KEY,
    name              text NOT NULL,
    login_url         text NOT NULL,
    instance_url      text NOT NULL,
    flow              text NOT NULL CHECK (flow IN ('client_credentials', 'jwt_bearer')),
    client_id         text NOT NULL,
    organization_id   text NOT NULL,
    organization_name text NOT NULL,
    username          text NOT NULL,
    api_version       text NOT NULL,
    warnings          text[] NOT NULL,
    broken_reason     text,
    refused_at        timestamptz,
    added_at          timestamptz NOT NULL
);

-- Names differ by more than case: people type them.
CREATE UNIQUE INDEX connection_name_once ON connection (lower(name));

-- Credentials, sealed. Apart from the connection, so that a role may read one table and not the other.
CREATE TABLE credential (
    connection_id uuid PRIMARY KEY REFERENCES connection,
    key_id        text NOT NULL,
    wrapped_key   bytea NOT NULL,
    secret        bytea NOT NULL
);

-- What an org last said of its API calls of 24 hours, by everything that calls it.
CREATE TABLE org_budget (
    organization_id text PRIMARY KEY,
    used_calls      bigint NOT NULL CHECK (used_calls >= 0),
    limit_calls     bigint NOT NULL CHECK (limit_calls >= 0),
    observed_at     timestamptz NOT NULL,
    announced_at    timestamptz NOT NULL
);

-- Holdfast's own calls, by org and hour.
CREATE TABLE usage_ledger (
    organization_id text NOT NULL,
    hour            timestamptz NOT NULL,
    calls           bigint NOT NULL CHECK (calls >= 0),
    PRIMARY KEY (organization_id, hour)
);
