-- Runs can rest and be ended by order; jobs say at which share of the org's daily API calls their runs wait.
ALTER TABLE job ADD COLUMN api_limit_percent integer NOT NULL DEFAULT 80 CHECK (api_limit_percent BETWEEN 1 AND 100);
ALTER TABLE run ADD COLUMN api_limit_percent integer NOT NULL DEFAULT 80 CHECK (api_limit_percent BETWEEN 1 AND 100);
-- Beside the state: a run that rests is still requested or running, and goes on as what it was.
ALTER TABLE run ADD COLUMN paused boolean NOT NULL DEFAULT false;
ALTER TABLE run DROP CONSTRAINT run_state_check;
ALTER TABLE run ADD CONSTRAINT run_state_check
    CHECK (state IN ('requested', 'running', 'completed', 'partial', 'failed', 'cancelled'));
