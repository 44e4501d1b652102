/** An upgrade as deployment.md has it: a process of the next release beside one that knows nothing of it, with runs in flight. */
import pg from 'pg'
import { describe, expect, onTestFinished, test } from 'vitest'
import { until } from '../coordinator/fleet.ts'
import { testDatabase } from '../postgres.ts'
import { redisUrl } from '../redis.ts'
import { newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { Installation } from './installation.ts'
import { Load, Service } from './load.ts'
import { nextRelease } from './next-release.ts'

const PER_SECOND = 20
const IN_FLIGHT = 8
const SETTLE_MS = 50_000

/** Adds to the tables that every run writes, and one of its own. */
const ADDS = `
alter table runs add column priority integer not null default 0;
alter table run_events add column recorded_by text;
alter table run_inbox add column channel text not null default 'api';
create index runs_by_priority on runs (priority) where finished_at is null;
create table priorities (workflow text primary key, priority integer not null);`

async function ground() {
  const database = await testDatabase()
  onTestFinished(() => database.drop())
  const folder = newDataDirectory('next-release')
  onTestFinished(() => removeDataDirectory(folder))
  let open = (): void => {}
  const slow = await Service.start(
    new Promise((resolve) => {
      open = resolve
    }),
  )
  onTestFinished(() => slow.stop())
  const service = await Service.start()
  onTestFinished(() => service.stop())
  const installation = new Installation({
    databaseUrl: database.url,
    redisUrl: redisUrl!,
    allow: `${slow.host},${service.host}`,
  })
  onTestFinished(() => installation.end())
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  onTestFinished(() => client.end())
  return {
    database,
    client,
    slow,
    open,
    service,
    installation,
    release: nextRelease(folder, { name: 'priorities', sql: ADDS }),
  }
}

describe.skipIf(redisUrl === null)('a process of the next release beside one of this', () => {
  test('changes the tables under its runs; both go on, and the upgrade can be taken back', async () => {
    const { database, client, slow, open, service, installation, release } = await ground()
    const roles = 'api,coordinator,worker'
    const old = await installation.process({ name: 'old', roles })
    const next = await installation.process({ name: 'next', roles, program: release.program })
    const versionOf = async ({ url }: typeof old): Promise<unknown> =>
      ((await (await fetch(`${url}/healthz`)).json()) as { version: unknown }).version

    await old.start()
    const definition = {
      weft: 1,
      name: 'slow',
      nodes: {
        call: { type: 'http', with: { method: 'POST', url: slow.url } },
        ask: { type: 'approval', needs: 'call', with: { title: 'Go on?' } },
      },
    }
    for (let index = 0; index < IN_FLIGHT; index++)
      expect(await installation.call(old.url, '/runs', { definition })).toMatchObject({ status: 202 })
    await until(() => slow.calls.size === IN_FLIGHT)
    const apiUrls = [old.url]
    const load = new Load({ apiUrls, apiKey: installation.apiKey }, service).start(PER_SECOND)
    await until(() => load.accepted >= PER_SECOND)

    await next.start()
    expect(await versionOf(next)).toBe(release.version)
    expect(await versionOf(old)).not.toBe(release.version)
    apiUrls.push(next.url)
    await until(async () => {
      const shares = await Promise.all([old, next].map((weft) => installation.owned(old.url, weft)))
      return shares.join() === '8,8'
    })
    const before = load.accepted
    await until(() => load.accepted >= before + PER_SECOND)
    // What was asked while the old one was alone is answered at either.
    open()
    const asked = async (): Promise<{ id: string }[]> => {
      const { body } = await installation.call(old.url, '/approvals?status=open')
      return (body as { items: { id: string }[] }).items
    }
    await until(async () => (await asked()).length === IN_FLIGHT)
    for (const [index, { id }] of (await asked()).entries())
      expect(
        await installation.call(apiUrls[index % 2] as string, `/approvals/${id}/decide`, {
          decision: 'approve',
        }),
      ).toMatchObject({ status: 200 })

    await load.stop()
    const report = await load.settle(database.url, SETTLE_MS)
    expect(report).toMatchObject({
      refusals: [],
      retriedConnections: 0,
      lost: 0,
      lateCalls: 0,
      statuses: { completed: report.accepted },
    })
    const { rows } = await client.query<{ name: string; in_flight: number }>(
      `select m.name, (
         select count(*)::int from runs
         where status = 'completed'
           and m.applied_at between to_timestamp(created_at / 1000.0) and to_timestamp(finished_at / 1000.0)
       ) as in_flight
       from weft_migrations m order by number desc limit 1`,
    )
    expect(rows[0]?.name).toBe(release.migration)
    expect(rows[0]?.in_flight).toBeGreaterThanOrEqual(IN_FLIGHT)
    expect([old.warnings, next.warnings]).toEqual(['', ''])

    // The old one is started again in the middle of the upgrade, and then the upgrade is taken back.
    expect(await old.stop()).toBe(0)
    await old.start()
    expect(old.warnings).toContain(release.migration)
    expect(await next.stop()).toBe(0)
    const hello = { weft: 1, name: 'hello', nodes: { greet: { type: 'log', with: { message: 'hello' } } } }
    expect(await installation.call(old.url, '/runs?wait=30s', { definition: hello })).toMatchObject({
      body: { status: 'completed' },
    })
  })
})
