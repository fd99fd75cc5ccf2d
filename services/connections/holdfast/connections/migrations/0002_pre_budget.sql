-- The API budget: what the org said, and what was granted and not yet reported.
ALTER TABLE org_budget
    ADD COLUMN long_requests integer NOT NULL DEFAULT 25,   -- requests that the org takes at once
    ADD COLUMN asked_at timestamptz,                        -- when its limits were last asked for
    ADD COLUMN bulk_until timestamptz;                      -- no new Bulk query job before

-- One row per process that calls an org. A row that expired holds nothing: its process is dead, or did nothing.
CREATE TABLE api_grant (
    organization_id text NOT NULL,
    caller          text NOT NULL,
    calls           bigint NOT NULL CHECK (calls >= 0),
    slots           integer NOT NULL CHECK (slots >= 0),
    wanted_slots    integer NOT NULL CHECK (wanted_slots >= 0),
    expires_at      timestamptz NOT NULL,
    PRIMARY KEY (organization_id, caller)
);
