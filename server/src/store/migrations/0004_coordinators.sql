-- Who takes part in deciding runs. Which partitions each owns stands in its session's locks, not here.
create table coordinators (
  id text primary key,
  name text not null,
  session text not null,
  leaving boolean not null,
  started_at bigint not null,
  beat_at bigint not null
);
