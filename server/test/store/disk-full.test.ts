/**
 * A full disk is said in a sentence, loses nothing, and is over as soon as there is room. The disk is a small memory file
 * system that holds the database's tables, which takes root on the machine of the server.
 */
import { execFile } from 'node:child_process'
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { expect, inject, onTestFinished, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import { StoreError } from '../../src/store/store.ts'
import { testDatabase } from '../postgres.ts'
import { appendOf, failureOf, newRun, stepCompleted, whileOwning } from '../suites/store-fixture.ts'

const run = promisify(execFile)

/** A disk of 32 MB that the server can use, or null where this process may not mount one. */
async function smallDisk(server: pg.Client): Promise<string | null> {
  const { rows } = await server.query<{ path: string }>(
    `select setting as path from pg_settings where name = 'data_directory'`,
  )
  const owner = await stat(rows[0]?.path ?? '').catch(() => null)
  if (!owner) return null
  const folder = await mkdtemp(join(tmpdir(), 'weft-small-disk-'))
  try {
    await run('mount', ['-t', 'tmpfs', '-o', 'size=32m,mode=0700', 'tmpfs', folder])
  } catch {
    await rm(folder, { recursive: true })
    return null
  }
  await chown(folder, owner.uid, owner.gid)
  return folder
}

test('the disk fills up under the tables and is emptied again', async (context) => {
  const server = new pg.Client({ connectionString: inject('postgresUrl') })
  await server.connect()
  onTestFinished(() => server.end())
  const disk = await smallDisk(server)
  if (disk === null)
    return context.skip('mounting a small file system takes root on the machine of the server')
  onTestFinished(async () => {
    await run('umount', ['-l', disk])
    await rm(disk, { recursive: true })
  })
  const database = await testDatabase()
  const name = new URL(database.url).pathname.slice(1)
  await server.query(`create tablespace small_${name} location '${disk}'`)
  onTestFinished(async () => {
    await database.drop()
    await server.query(`drop tablespace small_${name}`)
  })
  await server.query(`alter database ${name} set tablespace small_${name}`)
  const store = await openStore({
    url: database.url,
    clock: systemClock(),
    applicationName: 'disk',
    poolSize: 2,
  })
  onTestFinished(() => store.close())

  const kept = newRun()
  await store.runs.begin(kept)
  await whileOwning(store, async (session) => {
    await writeFile(join(disk, 'filler'), Buffer.alloc(64 << 20)).catch(() => {})
    const big = appendOf(kept, { events: Array.from({ length: 200 }, () => stepCompleted(noise(20_000))) })
    const failure = await failureOf(session.append([big]))
    expect(failure).toBeInstanceOf(StoreError)
    expect(failure).toMatchObject({ code: 'database_disk_full', retryable: true })
    expect(failure.message).toContain('free some room')
    expect((await session.load([kept.id])).get(kept.id)?.events).toHaveLength(1)

    await rm(join(disk, 'filler'))
    await session.append([big])
    expect((await session.load([kept.id])).get(kept.id)?.events).toHaveLength(201)
  })
})

/** Text that does not compress. */
function noise(length: number): string {
  let state = 7
  return Array.from({ length }, () => {
    state = (state * 48_271) % 2_147_483_647
    return String.fromCharCode(33 + (state % 90))
  }).join('')
}
