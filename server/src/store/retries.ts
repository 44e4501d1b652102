/** Attempts that wait for their retry, counted from the log itself: nothing is kept beside it. */
import type { Database } from './database.ts'

/**
 * Led by `run_events_retries`. What a run has stopped for, or started anew, waits no more. The type stands in the graph,
 * which is read once for each step that waits and not for each of its items. Runs are looked up one by one: joined
 * freely, the planner reads the whole log for the few events of the type `run.retried`.
 */
const RETRIES = `
with ahead as materialized (
  select run_id, seq, split_part(step_key, '[', 1) as step from run_events
  where type = 'attempt.failed' and json_text(data, 'retryAt')::numeric > $1
),
unfinished as (
  select ahead.run_id, run.graph, run.anew
  from (select distinct run_id from ahead) ahead
  cross join lateral (
    select r.graph,
      (select coalesce(max(e.seq), 0) from run_events e where e.run_id = r.id and e.type = 'run.retried') as anew
    from runs r where r.id = ahead.run_id and r.finished_at is null and r.status <> 'stopping'
    limit 1
  ) run
),
steps as (
  select unfinished.graph, ahead.step, count(*) as retries
  from ahead join unfinished on unfinished.run_id = ahead.run_id and ahead.seq > unfinished.anew
  group by unfinished.graph, ahead.step
)
select json_text(g.definition, 'nodes', steps.step, 'type') as type, sum(steps.retries)::int as count
from steps join graphs g on g.hash = steps.graph
group by 1`

/** By node type; a type for which none waits is not there. */
export async function countRetries({ pool }: Database, now: number): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ type: string; count: number }>({ text: RETRIES, values: [now] })
  return Object.fromEntries(rows.map(({ type, count }) => [type, count]))
}
