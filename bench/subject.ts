/**
 * What is measured: the whole of Weft in one process, in a fresh data directory, with the in-process loads beside it.
 *
 * Forked by `startSubject`, which holds the other end: it asks for jobs, and kills it.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import {
  databaseUrlOf,
  newApiKey,
  newDataDirectory,
  postmasterOf,
  removeDataDirectory,
} from '../server/test/weft-process.ts'
import { startEngine } from './engine.ts'
import { JOBS, type JobName, type JobParameters, type JobResult } from './jobs.ts'

export interface Subject {
  readonly url: string
  readonly apiKey: string
  readonly dataDirectory: string
  readonly databaseUrl: string
  run<Name extends JobName>(name: Name, parameters: JobParameters<Name>): Promise<JobResult<Name>>
  /** SIGKILL. Its PostgreSQL lives on, as it does when Weft crashes. */
  kill(): Promise<void>
  /** Ends everything and removes the data. */
  end(): Promise<void>
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: string
}

export interface SubjectOptions {
  /** `host:port` of what the egress guard lets through. */
  readonly allow?: string
  /** Folder for a CPU profile, written at the end. */
  readonly profile?: string
  /** A database that is given, in place of the one that Weft brings. */
  readonly databaseUrl?: string
  readonly environment?: Readonly<Record<string, string>>
}

export async function startSubject(options: SubjectOptions = {}): Promise<Subject> {
  const dataDirectory = newDataDirectory('bench')
  const apiKey = newApiKey()
  const child = fork(fileURLToPath(import.meta.url), {
    execArgv: [
      '--expose-gc',
      ...(options.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profile}`]),
    ],
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      WEFT_DATA_DIR: dataDirectory,
      WEFT_PORT: '0',
      WEFT_API_KEY: apiKey,
      WEFT_LOG_LEVEL: 'warn',
      ...(options.allow === undefined ? {} : { WEFT_EGRESS_ALLOW: options.allow }),
      ...(options.databaseUrl === undefined ? {} : { WEFT_DATABASE_URL: options.databaseUrl }),
      ...options.environment,
    },
  })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const killWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', killWithUs)
  void ended.then(() => process.off('exit', killWithUs))
  const url = await new Promise<string>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { url: string }).url))
    child.once('exit', (code) => reject(new Error(`the engine ended with ${code} before it was ready`)))
  })
  const ask = asker(child)
  const send = (pid: number | undefined, signal: NodeJS.Signals): void => {
    if (pid !== undefined) process.kill(pid, signal)
  }
  return {
    url,
    apiKey,
    dataDirectory,
    databaseUrl: options.databaseUrl ?? databaseUrlOf(dataDirectory),
    run: (name, parameters) => ask(name, parameters) as Promise<JobResult<typeof name>>,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async end() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
      await ended
      for (let pid = postmasterOf(dataDirectory); pid !== null; pid = postmasterOf(dataDirectory)) {
        send(pid, 'SIGINT')
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
      await removeDataDirectory(dataDirectory)
    },
  }
}

function asker(child: ChildProcess): (name: JobName, parameters: unknown) => Promise<unknown> {
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  let count = 0
  child.on('message', ({ id, result, error }: Answer) => {
    const waiter = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) waiter?.resolve(result)
    else waiter?.reject(new Error(error))
  })
  child.once('exit', (code, signal) => {
    for (const { reject } of waiting.values())
      reject(new Error(`the engine ended in the middle of a job (${code ?? signal})`))
  })
  return (name, parameters) =>
    new Promise((resolve, reject) => {
      const id = ++count
      waiting.set(id, { resolve, reject })
      child.send({ id, name, parameters })
    })
}

/** The forked side. */
async function serve(): Promise<void> {
  const engine = await startEngine(process.env)
  process.on(
    'message',
    async ({ id, name, parameters }: { id: number; name: JobName; parameters: never }) => {
      try {
        const result = await JOBS[name](engine, parameters)
        process.send?.({ id, result } satisfies Answer)
      } catch (error) {
        process.send?.({
          id,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        } satisfies Answer)
      }
    },
  )
  const stop = async (): Promise<void> => {
    await engine.stop()
    process.exit(0)
  }
  process.once('SIGTERM', stop)
  process.once('disconnect', stop)
  process.send?.({ url: engine.url })
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) await serve()
