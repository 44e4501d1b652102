-- Processes that were started paused (WEFT_START_PAUSED): they dispatch nothing until `resumed`.
create table held_processes (
  id text primary key,
  name text not null,
  resumed boolean not null,
  since bigint not null,
  beat_at bigint not null
);
