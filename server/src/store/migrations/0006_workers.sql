-- Who performs attempts, as far as was heard lately: worker processes, and programs outside that claim tasks.
create table workers (
  id text primary key,
  name text not null,
  kind text not null,
  workspace text,
  types json not null,
  started_at bigint not null,
  beat_at bigint not null,
  expires_at bigint not null
);
