/**
 * A secret that every part of a run tries to give away, and a search through everything that Weft leaves behind.
 *
 * The service echoes the credential in header, body and error, in every form in which values travel; a node type of the
 * user's own puts it into log lines, progress, records, blobs and errors; a code step throws what it was given; somebody
 * copies an output into a patch. Then the database, the data directory, logs, live messages, API and CLI are searched.
 */
import { globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { onTestFinished } from 'vitest'
import { readConfig } from '../../src/config.ts'
import { createLog } from '../../src/log.ts'
import { startWeft, type Weft } from '../../src/main.ts'
import { stackOfTest } from '../stack.ts'
import { databaseUrlOf, newDataDirectory, removeDataDirectory } from '../weft-process.ts'
import { weft as runWeft } from '../weft-program.ts'

const DEFINE = fileURLToPath(new URL('../../src/nodes/index.ts', import.meta.url))

/** Letters at both ends survive every escaping but base64; what is between them is written differently by each. */
const [HEAD, TAIL] = ['k7Qz94d1Xw2mB6', 'pR5tL8vN3sJqH9']
export const CANARY = `${HEAD} "a\\b"/c+d &%7f ${TAIL}`

/** The characters of a text's base64 that do not depend on what stands around it, for each alignment. */
const base64Cores = (text: string): string[] =>
  [0, 1, 2].map((shift) => {
    const whole = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString('base64')
    return whole.slice(Math.ceil((shift * 8) / 6), Math.floor(((shift + text.length) * 8) / 6))
  })
const MARKS = [HEAD, TAIL, ...base64Cores(HEAD), ...base64Cores(TAIL)]

const hasCanary = (text: string): boolean => MARKS.some((mark) => text.includes(mark))

const GOSSIP = `import { defineNode, NodeError, z } from ${JSON.stringify(DEFINE)}
export default defineNode({
  type: 'gossip',
  title: 'Gossip',
  description: 'Tells everybody.',
  config: z.object({}),
  effect: 'write',
  async run(_config, context) {
    const { token } = await context.credential()
    context.log('the token is ' + token, { token }, 'warn')
    context.log('x'.repeat(1_990) + token)
    context.progress(50, 'half way with ' + token)
    const recorded = await context.once('told', async () => ({ token }))
    const blob = await context.blobs.put('bytes ' + token + ' bytes', 'application/octet-stream')
    if (context.attempt === 1)
      throw new NodeError('gossip_failed', 'cannot use ' + encodeURIComponent(token), {
        retryable: true,
        details: { [token]: Buffer.from(token).toString('base64') },
      })
    return { recorded, blob, large: token.repeat(2_000) }
  },
})
`

const call = (url: string, credential: string, more: object = {}) => ({
  type: 'http',
  credential,
  onError: 'continue',
  retry: 'off',
  with: { url },
  ...more,
})

const definitionOf = (url: string): object => ({
  weft: 1,
  name: 'canary',
  nodes: {
    body: call(`${url}/body`, 'bearer'),
    basic: call(`${url}/body`, 'basic'),
    error: call(`${url}/error`, 'bearer'),
    broken: call(`${url}/broken`, 'bearer'),
    binary: call(`${url}/binary`, 'bearer'),
    gossip: { type: 'gossip', credential: 'bearer', retry: { attempts: 2, delay: 1 } },
    ask: {
      type: 'approval',
      needs: ['body', 'basic', 'gossip'],
      with: { title: '${{ steps.body.output.body.raw }}' },
    },
    throws: {
      type: 'code',
      needs: ['ask'],
      retry: 'off',
      with: {
        code: 'console.log(JSON.stringify(input)); throw new Error(JSON.stringify(input))',
        input: '${{ steps.body.output }}',
      },
    },
  },
  output: '${{ steps.body.output }}',
})

async function startEcho(): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '')
    const forms = {
      raw: token,
      url: encodeURIComponent(token),
      form: new URLSearchParams({ token }).toString(),
      base64: Buffer.from(`:${token}`).toString('base64'),
      json: JSON.stringify({ token }),
    }
    response.setHeader('x-raw', forms.raw)
    response.setHeader('x-url', forms.url)
    response.setHeader('x-base64', forms.base64)
    if (request.url === '/binary') {
      response.setHeader('content-type', 'application/octet-stream')
      response.end(Buffer.concat([Buffer.from([0, 255, 254]), Buffer.from(token)]))
      return
    }
    response.setHeader('content-type', 'application/json')
    // Previews of 200 and of 500 characters end within the secret.
    if (request.url === '/error') response.writeHead(500)
    response.end(
      request.url === '/body'
        ? JSON.stringify(forms)
        : `${'e'.repeat(180)}${token}${'f'.repeat(300 - token.length)}${token} and so on`,
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Runs the canary through Weft and answers every place in which it was found. */
export async function canaryPlaces(): Promise<string[]> {
  const dataDirectory = newDataDirectory('canary')
  const nodes = join(dataDirectory, 'nodes')
  mkdirSync(nodes)
  writeFileSync(join(nodes, 'gossip.ts'), GOSSIP)
  const { server, url } = await startEcho()
  const lines: string[] = []
  const live: string[] = []
  const stack = await stackOfTest()
  const read = readConfig({
    environment: {
      WEFT_PORT: '0',
      WEFT_DATA_DIR: dataDirectory,
      WEFT_NODES: nodes,
      WEFT_EGRESS_ALLOW: new URL(url).host,
      ...stack,
      WEFT_CREDENTIAL_BASIC: JSON.stringify({ username: 'ann', password: CANARY }),
    },
  })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const log = createLog({ level: 'trace', format: 'json' }, { write: (line) => void lines.push(line) })
  const weft = await startWeft(read.config, { log })
  onTestFinished(async () => {
    server.close()
    await weft.stop()
    await removeDataDirectory(dataDirectory)
  })
  weft.transport.live.subscribe((message) => live.push(JSON.stringify(message)))

  const answers = await tell(weft, url)
  const places = [
    ...found('log', lines),
    ...live.filter(hasCanary).map((message) => `live: ${JSON.parse(message).kind}`),
    ...answers.flatMap(([path, text]) => found(`api: ${path}`, [text])),
    ...(await searchCli(weft)),
    ...(await searchDatabase(stack.WEFT_DATABASE_URL ?? databaseUrlOf(dataDirectory))),
  ]
  await weft.stop()
  places.push(...searchFiles(dataDirectory), ...found('log after the stop', lines))
  return [...new Set(places)].sort()
}

const found = (place: string, texts: readonly string[]): string[] => (texts.some(hasCanary) ? [place] : [])

/** From the credential to the end of the run; answers what the API has said, by path. */
async function tell(weft: Weft, url: string): Promise<[string, string][]> {
  const answers: [string, string][] = []
  const ask = async (method: string, path: string, body?: unknown): Promise<string> => {
    const response = await fetch(`${weft.url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    answers.push([`${method} ${path}`, text])
    if (response.status >= 400) throw new Error(`${method} ${path}: ${text.slice(0, 500)}`)
    return text
  }
  await ask('POST', '/credentials', { name: 'bearer', value: { token: 'replaced-soon' } })
  await ask('PUT', '/credentials/bearer', { value: { token: CANARY } })
  const waits = reached(weft, 'step.waiting')
  const { id } = JSON.parse(await ask('POST', '/runs', { definition: definitionOf(url) })) as { id: string }
  await waits
  const { items: events } = JSON.parse(await ask('GET', `/runs/${id}/events?limit=1000`)) as {
    items: { type: string; key?: string; output?: unknown }[]
  }
  const copied = JSON.stringify(
    events.find(({ type, key }) => type === 'step.completed' && key === 'body')?.output,
  )
  await ask('POST', `/runs/${id}/patches`, {
    operations: [
      { op: 'add', path: '/nodes/says', value: { type: 'log', needs: ['ask'], with: { message: copied } } },
    ],
    reason: copied.slice(0, 1_000),
  })
  const ended = reached(weft, 'run.failed')
  const { items } = JSON.parse(await ask('GET', '/approvals?status=open')) as { items: { id: string }[] }
  await ask('POST', `/approvals/${items[0]?.id}/decide`, { decision: 'approve' })
  await ended
  for (const path of ['', '/events?limit=1000', '/graph', '/why', '/patches'])
    await ask('GET', `/runs/${id}${path}`)
  for (const path of ['/runs', '/credentials', '/approvals', '/about', '/node-types', '/variables'])
    await ask('GET', path)
  return answers.map(([path, text]) => [path.replace(id, ':id'), text])
}

function reached(weft: Weft, type: string): Promise<void> {
  return new Promise((resolve) => {
    const unsubscribe = weft.transport.live.subscribe((message) => {
      if (message.kind !== 'event' || (message.event as { type: string }).type !== type) return
      unsubscribe()
      resolve()
    })
  })
}

async function searchCli(weft: Weft): Promise<string[]> {
  const commands = [
    ['runs', 'get', '@last'],
    ['logs', '@last', '--json'],
    ['why', '@last'],
    ['credentials', 'list'],
    ['doctor', '--json'],
  ]
  const outputs = await Promise.all(
    commands.map(async (args) => {
      const { out, err } = await runWeft(args, weft.config.dataDirectory, {
        WEFT_URL: weft.url,
        WEFT_API_KEY: weft.apiKey,
      })
      const text = out + err
      if (text.trim() === '') throw new Error(`weft ${args.join(' ')} said nothing`)
      return [args, text] as const
    }),
  )
  return outputs.flatMap(([args, text]) => found(`cli: ${args.join(' ')}`, [text]))
}

/** Every column of every table as text, and bytes as the text that they may be. */
async function searchDatabase(databaseUrl: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    const { rows: columns } = await client.query<{ table: string; column: string; type: string }>(
      `select c.table_name as table, c.column_name as column, c.data_type as type
       from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
       where c.table_schema = 'public' and t.table_type = 'BASE TABLE'`,
    )
    const places: string[] = []
    for (const { table, column, type } of columns) {
      const value = type === 'bytea' ? `encode("${column}", 'escape')` : `"${column}"::text`
      const { rows } = await client.query<{ value: string | null }>(
        `select ${value} as value from "${table}"`,
      )
      places.push(
        ...found(
          `database: ${table}.${column}`,
          rows.map(({ value }) => value ?? ''),
        ),
      )
    }
    if (!columns.some(({ table }) => table === 'run_events')) throw new Error('the dump is empty')
    return places
  } finally {
    await client.end()
  }
}

function searchFiles(dataDirectory: string): string[] {
  return globSync('**/*', { cwd: dataDirectory })
    .filter((path) => statSync(join(dataDirectory, path)).isFile())
    .filter((path) => hasCanary(readFileSync(join(dataDirectory, path), 'latin1')))
    .map((path) => `file: ${path}`)
}
