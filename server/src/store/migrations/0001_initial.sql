-- The first tables. What each is for stands in schema.ts.

create table workspaces (
  name text primary key,
  created_at bigint not null
);

create table api_keys (
  id uuid primary key,
  workspace text not null references workspaces (name),
  hash text not null,
  name text not null,
  role text not null,
  created_at bigint not null,
  expires_at bigint
);
create unique index api_keys_by_hash on api_keys (hash);

create table graphs (
  hash text primary key,
  definition json not null
);

create table workflows (
  workspace text not null,
  name text not null,
  newest integer not null,
  primary key (workspace, name)
);

create table workflow_versions (
  workspace text not null,
  name text not null,
  version integer not null,
  graph text not null,
  definition json not null,
  source text,
  description text,
  created_at bigint not null,
  primary key (workspace, name, version)
);

create table workflow_tags (
  workspace text not null,
  name text not null,
  tag text not null,
  version integer not null,
  primary key (workspace, name, tag)
);

-- Room on each page, so that a change of status or wake time stays on it.
create table runs (
  id uuid primary key,
  created_at bigint not null,
  finished_at bigint,
  wake_at bigint,
  parent_id uuid,
  root_id uuid,
  version integer,
  open_commands integer not null default 0,
  partition smallint generated always as ((get_byte(uuid_send(id), 15) & 15)::smallint) stored,
  workspace text not null,
  workflow text not null,
  graph text not null,
  status text not null,
  waiting_for text[] not null,
  stuck_reason text,
  labels jsonb not null,
  parent json,
  input json not null,
  output json,
  error json
) with (fillfactor = 80);
create index runs_by_creation on runs (workspace, created_at, id);
create index runs_unfinished on runs (workspace, created_at, id) where finished_at is null;
create index runs_failed on runs (workspace, created_at, id) where error is not null;
create index runs_finished on runs (finished_at) where finished_at is not null;
create index runs_due on runs (partition, wake_at) where wake_at is not null and stuck_reason is null;
create index runs_stuck on runs (workspace, id) where stuck_reason is not null;
create index runs_by_parent on runs (parent_id) where parent_id is not null;
create index runs_by_root on runs (root_id) where root_id is not null;
create index runs_by_label on runs using gin (labels jsonb_path_ops) where labels <> '{}'::jsonb;

create table run_events (
  run_id uuid not null,
  at bigint not null,
  seq integer not null,
  round integer,
  attempt integer,
  type text not null,
  step_key text,
  data json not null,
  primary key (run_id, seq)
);

create table run_inbox (
  id text primary key,
  run_id uuid not null,
  position bigint not null generated always as identity,
  created_at bigint not null,
  settled_at bigint,
  workspace text not null,
  kind text not null,
  actor text not null,
  command json not null,
  verdict json
);
create index run_inbox_by_run on run_inbox (run_id, position);

create table waits (
  id text primary key,
  run_id uuid not null,
  opened_at bigint not null,
  expires_at bigint,
  closed_at bigint,
  workspace text not null,
  step_key text not null,
  name text not null,
  correlation_key text,
  match text,
  outcome text
);
create index waits_open on waits (workspace, name, correlation_key) where closed_at is null;
create index waits_by_run on waits (run_id);

create table approvals (
  id text primary key,
  run_id uuid not null,
  opened_at bigint not null,
  expires_at bigint,
  closed_at bigint,
  workspace text not null,
  step_key text not null,
  status text not null,
  title text not null,
  body text,
  form json,
  assignees text[] not null,
  actor text
);
create index approvals_by_opening on approvals (workspace, opened_at, id);
create index approvals_open on approvals (workspace, opened_at, id) where status = 'open';
create index approvals_by_run on approvals (run_id);

create table step_records (
  run_id uuid not null,
  step_key text not null,
  round integer not null,
  name text not null,
  attempt integer not null,
  at bigint not null,
  value json not null,
  primary key (run_id, step_key, round, name)
);

create table blobs (
  workspace text not null,
  hash text not null,
  created_at bigint not null,
  touched_at bigint not null,
  content_type text not null,
  bytes bytea not null,
  primary key (workspace, hash)
);
create index blobs_by_touch on blobs (touched_at);

create table blob_refs (
  run_id uuid not null,
  workspace text not null,
  hash text not null,
  primary key (run_id, hash)
);
create index blob_refs_by_blob on blob_refs (workspace, hash);

create table variables (
  workspace text not null,
  name text not null,
  value json not null,
  updated_at bigint not null,
  primary key (workspace, name)
);

create table node_types (
  workspace text not null,
  type text not null,
  info json not null,
  registered_at bigint not null,
  primary key (workspace, type)
);

create table idempotency_keys (
  workspace text not null,
  route text not null,
  key text not null,
  body_hash text not null,
  created_at bigint not null,
  run_id uuid,
  answer json,
  primary key (workspace, route, key)
);
create index idempotency_keys_by_creation on idempotency_keys (created_at);

-- What follows is for people who ask with SQL; the program reads none of it.

create function milliseconds_to_time(value bigint) returns timestamptz
  language sql immutable strict
  as $$ select timestamptz 'epoch' + value * interval '1 millisecond' $$;

-- A path into stored JSON, as text. The `json` operators raise an error on any text that holds an escaped NUL or half
-- a surrogate pair, wherever in the value it stands, and one such run must not break a view for all the others.
create function json_text(value json, variadic path text[]) returns text
  language plpgsql immutable strict
  as $$
begin
  return value #>> path;
exception when others then
  begin
    return regexp_replace(value::text, '\\u(0000|[dD][89a-fA-F][0-9a-fA-F]{2})', '\\ufffd', 'g')::json #>> path;
  exception when others then
    return null;
  end;
end
$$;

-- How each step of each run ended, or last failed: one row per step key.
create view run_steps as
  select distinct on (e.run_id, e.step_key)
    r.workspace,
    r.workflow,
    e.run_id,
    e.step_key,
    case
      when e.type = 'step.completed' then 'completed'
      when e.type = 'step.skipped' then 'skipped'
      when e.type = 'step.cancelled' then 'cancelled'
      when e.type = 'step.failed' then 'failed'
      when e.type = 'step.joined' then json_text(e.data, 'outcome')
      when e.type = 'step.waiting' then 'waiting'
      else 'running'
    end as status,
    e.round,
    e.attempt,
    json_text(e.data, 'error', 'code') as error_code,
    json_text(e.data, 'error', 'message') as error_message,
    json_text(e.data, 'worker') as worker,
    milliseconds_to_time(json_text(e.data, 'startedAt')::bigint) as started_at,
    milliseconds_to_time(e.at) as at,
    e.seq,
    e.data
  from run_events e
  join runs r on r.id = e.run_id
  where e.step_key is not null
  order by e.run_id, e.step_key, e.seq desc;

-- Steps that failed for good, with what they failed of. A retry of the run takes them off until they fail again.
create view dead_letters as
  select s.workspace, s.workflow, s.run_id, s.step_key, s.round, s.attempt, s.error_code, s.error_message, s.at, s.data
  from run_steps s
  where s.status = 'failed'
    and not exists (
      select from run_events retried
      where retried.run_id = s.run_id and retried.type = 'run.retried' and retried.seq > s.seq
    );

-- How many runs of each workflow ended how on each day, and how long they took.
create view run_metrics as
  select
    workspace,
    workflow,
    status,
    date_trunc('day', milliseconds_to_time(created_at)) as day,
    count(*) as runs,
    avg(finished_at - created_at)::bigint as mean_ms,
    percentile_disc(0.5) within group (order by finished_at - created_at) as p50_ms,
    percentile_disc(0.99) within group (order by finished_at - created_at) as p99_ms
  from runs
  group by workspace, workflow, status, date_trunc('day', milliseconds_to_time(created_at));

insert into workspaces (name, created_at) values ('default', (extract(epoch from now()) * 1000)::bigint);
