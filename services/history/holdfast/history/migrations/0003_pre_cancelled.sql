-- A run may also be ended by order.
ALTER TABLE run DROP CONSTRAINT run_state_check;
ALTER TABLE run ADD CONSTRAINT run_state_check
    CHECK (state IN ('requested', 'completed', 'partial', 'failed', 'cancelled'));
