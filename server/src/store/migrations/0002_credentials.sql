-- Credentials as the vault has sealed them: the database never sees a value or a master key.
create table credentials (
  workspace text not null,
  name text not null,
  -- Names the master key; not a secret.
  key_id text not null,
  nonce bytea not null,
  -- Ciphertext, then the tag of 16 bytes.
  sealed bytea not null,
  created_at bigint not null,
  rotated_at bigint not null,
  primary key (workspace, name)
);
