-- The same letters as the API lists: each failure for good since the last retry, of a step or of an item. What a step says
-- when its items have joined is no letter of its own.
create or replace view dead_letters as
  select
    r.workspace,
    r.workflow,
    e.run_id,
    e.step_key,
    e.round,
    e.attempt,
    json_text(e.data, 'error', 'code') as error_code,
    json_text(e.data, 'error', 'message') as error_message,
    milliseconds_to_time(e.at) as at,
    e.data
  from run_events e
  join runs r on r.id = e.run_id
  where e.type = 'step.failed'
    and not exists (
      select from run_events again
      where again.run_id = e.run_id and again.type = 'run.retried' and again.seq > e.seq
    );
