/**
 * A client for TypeScript, made by a public generator from the document that a running server hands out: the program
 * below compiles strictly without a cast, and drives a run.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import openapiTypescript, { astToString } from 'openapi-typescript'
import { pino } from 'pino'
import { expect, onTestFinished, test } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { testDatabase } from '../postgres.ts'

const PACKAGES = fileURLToPath(new URL('../../../node_modules', import.meta.url))

const PROGRAM = `
import createClient from 'openapi-fetch'
import type { paths } from './weft.ts'

const api = createClient<paths>({
  baseUrl: process.env.WEFT_URL ?? 'http://127.0.0.1:7400',
  headers: { authorization: \`Bearer \${process.env.WEFT_API_KEY}\` },
})

/** The body of an answer, or the problem's sentence. */
function told<Body>({ data, error }: { data?: Body; error?: { detail: string } }): Body {
  if (data === undefined) throw new Error(error?.detail)
  return data
}

const definition = {
  weft: 1,
  name: 'release',
  nodes: {
    ask: { type: 'approval', with: { title: 'Release it?' } },
    note: { type: 'log', needs: { ask: 'approved' }, with: { message: 'Released by hand' } },
  },
}
const { id } = told(
  await api.POST('/api/v1/runs', {
    params: { header: { 'idempotency-key': 'release 1' } },
    body: { definition, labels: { from: 'a typed client' } },
  }),
)

let waitsFor: string[] = []
while (!waitsFor.includes('approval')) {
  const { tokens } = told(await api.GET('/api/v1/runs/{id}/why', { params: { path: { id } } }))
  waitsFor = tokens.map((token) => token.waitsFor)
}

const open = told(await api.GET('/api/v1/approvals', { params: { query: { runId: id, status: 'open' } } }))
const approval = open.items[0]
if (!approval) throw new Error('nothing waits for a person')
const verdict = told(
  await api.POST('/api/v1/approvals/{id}/decide', {
    params: { path: { id: approval.id } },
    body: { decision: 'approve', comment: 'as agreed' },
  }),
)
const again = await api.POST('/api/v1/approvals/{id}/decide', {
  params: { path: { id: approval.id } },
  body: { decision: 'reject' },
})

// The same key and body: the same run, and this time its outcome.
const outcome = told(
  await api.POST('/api/v1/runs', {
    params: { header: { 'idempotency-key': 'release 1' }, query: { wait: '30s' } },
    body: { definition, labels: { from: 'a typed client' } },
  }),
)
const run = told(await api.GET('/api/v1/runs/{id}', { params: { path: { id } } }))
// The route also streams, where that is asked for: as text.
const log = (await api.GET('/api/v1/runs/{id}/events', { params: { path: { id }, query: { limit: 100 } } })).data
if (typeof log !== 'object') throw new Error('the log is no page')
const listed = told(await api.GET('/api/v1/runs', { params: { query: { label: 'from:a typed client', status: 'completed' } } }))

const steps: Record<string, 'completed' | 'other'> = {}
for (const step of run.steps) steps[step.id] = step.status === 'completed' ? 'completed' : 'other'

console.log(
  JSON.stringify({
    decided: 'accepted' in verdict,
    again: again.error?.code,
    sameRun: outcome.id === id,
    outcome: outcome.status,
    status: run.status,
    finished: run.finishedAt !== null && run.finishedAt >= run.createdAt,
    steps,
    events: log.items.map(({ seq, type }) => \`\${seq} \${type}\`),
    listed: listed.items.map((item) => item.id === id),
  }),
)
`

/** What must not compile: the types say more than that there is JSON. */
const MISTAKES = [
  `await api.GET('/api/v1/run', {})`,
  `await api.GET('/api/v1/runs/{id}', {})`,
  `await api.POST('/api/v1/runs', { body: { workflow: 1 } })`,
  `await api.POST('/api/v1/approvals/{id}/decide', { params: { path: { id } }, body: { decision: 'approved' } })`,
  `if (run.status === 'done') console.log()`,
  `if (run.steps[0]?.status === 'done') console.log()`,
  `if (log.items[0]?.type === 'step.done') console.log()`,
  `console.log(run.steps[0]?.outputs)`,
  `console.log(run.error.code)`,
]

async function started(): Promise<{ weft: Weft; folder: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'weft-typed-client-'))
  const database = await testDatabase()
  const read = readConfig({
    flags: { dataDirectory: join(folder, '.weft'), databaseUrl: database.url, port: '0' },
    environment: {},
  })
  if (!read.ok) throw new Error(read.problems.join('\\n'))
  const weft = await startWeft(read.config, { log: pino({ level: 'silent' }) })
  onTestFinished(async () => {
    await weft.stop()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  })
  return { weft, folder }
}

interface Ended {
  readonly code: number
  readonly text: string
}

const execute = (
  file: string,
  args: readonly string[],
  cwd: string,
  environment: Record<string, string> = {},
): Promise<Ended> =>
  new Promise((resolve) => {
    const env = { PATH: process.env.PATH ?? '', ...environment }
    execFile(file, args, { cwd, env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: out + err }),
    )
  })

const STRICT = [
  '--strict --exactOptionalPropertyTypes --noUncheckedIndexedAccess --noEmit --skipLibCheck',
  '--allowImportingTsExtensions --erasableSyntaxOnly --verbatimModuleSyntax',
  '--target es2024 --module nodenext --types node',
].flatMap((line) => line.split(' '))

test('a client generated from the document compiles strictly and drives a run', async () => {
  const { weft, folder } = await started()
  const types = astToString(await openapiTypescript(new URL('/openapi.json', weft.url)))
  expect(types.replaceAll(/\/\*[\s\S]*?\*\//g, '')).not.toMatch(/\bany\b/)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'weft.ts'), types)
  await writeFile(join(folder, 'release.ts'), PROGRAM)
  for (const [index, mistake] of MISTAKES.entries())
    await writeFile(join(folder, `mistake-${index}.ts`), `${PROGRAM}\n${mistake}\n`)
  await symlink(PACKAGES, join(folder, 'node_modules'))

  const tsc = join(PACKAGES, '.bin', 'tsc')
  expect(await execute(tsc, [...STRICT, 'release.ts'], folder)).toEqual({ code: 0, text: '' })
  const mistakes = MISTAKES.map((_, index) => `mistake-${index}.ts`)
  const { text } = await execute(tsc, [...STRICT, '--pretty', 'false', ...mistakes], folder)
  const named = new Set([...text.matchAll(/^(mistake-\d+\.ts)\(/gm)].map(([, file]) => file))
  expect(mistakes.filter((file) => !named.has(file))).toEqual([])

  const environment = { WEFT_URL: weft.url, WEFT_API_KEY: weft.apiKey }
  const ended = await execute(process.execPath, ['release.ts'], folder, environment)
  expect([ended.code, ended.text]).toEqual([0, expect.stringMatching(/^\{/)])
  expect(JSON.parse(ended.text)).toEqual({
    decided: true,
    again: 'already_decided',
    sameRun: true,
    outcome: 'completed',
    status: 'completed',
    finished: true,
    steps: { ask: 'completed', note: 'completed' },
    events: ['1 run.started', '2 step.waiting', '3 step.completed', '4 step.completed', '5 run.completed'],
    listed: [true],
  })
})
