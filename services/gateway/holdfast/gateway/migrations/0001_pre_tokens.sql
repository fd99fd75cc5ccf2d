-- Bearer tokens of the HTTP API. Only their SHA-256 is kept: a token has 256 random bits, so a plain hash is
-- as good as a slow one.
CREATE TABLE token (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    sha256 bytea NOT NULL UNIQUE CHECK (octet_length(sha256) = 32),
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
