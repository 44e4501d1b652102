-- Messages by correlation: kept while `runs` is empty, and afterwards, so that the sender's id counts once.
create table messages (
  workspace text not null,
  id text not null,
  -- Stands for a run in `blob_refs`, as long as the message names blobs.
  uid uuid not null,
  created_at bigint not null,
  expires_at bigint not null,
  offers integer not null default 0,
  -- Held against the waits that were open after it was committed.
  announced boolean not null default false,
  name text not null,
  correlation_key text,
  actor text not null,
  -- Whom it was given to, without those who refused it.
  runs uuid[] not null default '{}',
  data json not null,
  primary key (workspace, id)
);
create index messages_kept on messages (workspace, name, correlation_key, created_at, id) where runs = '{}';
create index messages_by_creation on messages (workspace, created_at, id) where runs = '{}';
create index messages_unannounced on messages (created_at) where not announced;
create index messages_by_expiry on messages (expires_at);
