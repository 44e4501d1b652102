/**
 * The outside world: the example service in a process of its own, which no kill touches, and what its ledger says.
 *
 * Forked by `startOutside`; speaks over the IPC channel, so that asking leaves no trace in the ledger.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { LedgerEntry } from '../../../examples/service/ledger.ts'
import { startService } from '../../../examples/service/service.ts'

type Question =
  /** Calls that began after call number `after` and are open now. */
  | { readonly ask: 'open'; readonly after: number }
  /** Number of the last call so far. */
  | { readonly ask: 'last' }
  /** When the first call after number `after` began, as soon as there is one. */
  | { readonly ask: 'next'; readonly after: number }
  /** Calls after number `after`, a page of them. */
  | { readonly ask: 'entries'; readonly after: number }

/** A message between processes should not be longer than some megabytes. */
const PAGE_OF_ENTRIES = 10_000

export interface Outside {
  readonly port: number
  readonly url: string
  /** How many calls that began after call number `after` are open at this moment. */
  open(after: number): Promise<number>
  last(): Promise<number>
  /** When the first call after number `after` began. */
  next(after: number): Promise<number>
  entries(): Promise<LedgerEntry[]>
  stop(): Promise<void>
}

export async function startOutside(): Promise<Outside> {
  const child = fork(fileURLToPath(import.meta.url), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const port = await new Promise<number>((resolve, reject) => {
    child.once('message', (message) => resolve((message as { port: number }).port))
    child.once('exit', (code) => reject(new Error(`the service ended with ${code} before it listened`)))
  })
  const ask = questions(child)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    open: (after) => ask({ ask: 'open', after }) as Promise<number>,
    last: () => ask({ ask: 'last' }) as Promise<number>,
    next: (after) => ask({ ask: 'next', after }) as Promise<number>,
    async entries() {
      const all: LedgerEntry[] = []
      for (;;) {
        const page = (await ask({ ask: 'entries', after: all.length })) as LedgerEntry[]
        if (page.length === 0) return all
        for (const entry of page) all.push(entry)
      }
    },
    async stop() {
      child.kill('SIGTERM')
      await ended
    },
  }
}

function questions(child: ChildProcess): (question: Question) => Promise<unknown> {
  const waiting = new Map<number, { resolve(answer: unknown): void; reject(error: Error): void }>()
  let count = 0
  child.on('message', ({ id, answer }: { id?: number; answer?: unknown }) => {
    if (id === undefined) return
    waiting.get(id)?.resolve(answer)
    waiting.delete(id)
  })
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('the service has ended'))
  })
  return (question) =>
    new Promise((resolve, reject) => {
      const id = ++count
      waiting.set(id, { resolve, reject })
      child.send({ id, question })
    })
}

/** The forked side. */
async function serve(): Promise<void> {
  const service = await startService()
  const { ledger } = service

  function answer(question: Question): unknown {
    const entries = ledger.entries()
    switch (question.ask) {
      case 'open': {
        // A caller that was killed hung up, and its entry stays without an answer: only newer ones can be open.
        let open = 0
        for (let index = entries.length - 1; index >= 0; index--) {
          const entry = entries[index] as LedgerEntry
          if (entry.n <= question.after) break
          if (entry.answeredAt === null) open++
        }
        return open
      }
      case 'last':
        return entries.at(-1)?.n ?? 0
      case 'next':
        return ledger.called((entry) => entry.n > question.after).then(([entry]) => entry?.startedAt)
      case 'entries':
        // Their numbers count from 1, without a gap.
        return entries.slice(question.after, question.after + PAGE_OF_ENTRIES)
    }
  }

  process.on('message', async ({ id, question }: { id: number; question: Question }) => {
    process.send?.({ id, answer: await answer(question) })
  })
  process.once('disconnect', () => process.exit(0))
  process.once('SIGTERM', () => process.exit(0))
  process.send?.({ port: service.port })
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) await serve()
