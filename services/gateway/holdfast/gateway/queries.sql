-- name: valid_token
-- The token with a hash, unless it was revoked.
SELECT id, name, sha256
FROM token
WHERE sha256 = $1 AND revoked_at IS NULL;

-- name: lock_tokens
-- One gateway at a time decides about the admin token.
LOCK TABLE token IN SHARE ROW EXCLUSIVE MODE;

-- name: revoke_tokens_named
-- Every valid token of a name ends now.
UPDATE token
SET revoked_at = $2
WHERE name = $1 AND revoked_at IS NULL;

-- name: add_token
INSERT INTO token (id, name, sha256, created_at)
VALUES ($1, $2, $3, $4);
