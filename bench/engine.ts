/**
 * Weft in this process, as the loads see it: submit, and know when a run has ended. The end is heard on the live lane,
 * where it is told right after its commit.
 */
import type { Json } from '@weft/engine'
import { systemClock } from '../server/src/clock.ts'
import { readConfig } from '../server/src/config.ts'
import { DEFAULT_WORKSPACE, startWeft } from '../server/src/main.ts'

export interface Engine {
  readonly url: string
  /** Resolves to the run's id once it is durable. */
  submit(workflow: string, input: Json): Promise<string>
  /** Resolves when the run has ended; rejects when it ended otherwise than completed. */
  run(workflow: string, input: Json): Promise<void>
  ended(runId: string): Promise<void>
  approve(approvalId: string): Promise<void>
  stop(): Promise<void>
}

const FINAL = /^run\.(?:completed|failed|cancelled)$/

export async function startEngine(environment: NodeJS.ProcessEnv): Promise<Engine> {
  const read = readConfig({ environment })
  if (!read.ok) throw new Error(read.problems.join('\n'))
  const clock = systemClock()
  const weft = await startWeft(read.config, { clock })
  const waiting = new Map<string, { resolve(): void; reject(error: Error): void }>()
  weft.transport.live.subscribe((message) => {
    if (message.kind !== 'event') return
    const waiter = waiting.get(message.runId)
    const { type } = message.event as { type: string }
    if (!waiter || !FINAL.test(type)) return
    waiting.delete(message.runId)
    if (type === 'run.completed') waiter.resolve()
    else waiter.reject(new Error(`run ${message.runId} ended with ${JSON.stringify(message.event)}`))
  })

  const ended = (runId: string): Promise<void> =>
    new Promise((resolve, reject) => void waiting.set(runId, { resolve, reject }))
  const submit = async (workflow: string, input: Json, id: string): Promise<string> => {
    const what = { workflow }
    await weft.submit({ workspace: DEFAULT_WORKSPACE, actor: 'bench', what, input }, id)
    return id
  }
  return {
    url: weft.url,
    ended,
    submit: (workflow, input) => submit(workflow, input, clock.id()),
    async run(workflow, input) {
      const id = clock.id()
      const end = ended(id)
      await submit(workflow, input, id)
      await end
    },
    async approve(approvalId) {
      const answer = await fetch(`${weft.url}/api/v1/approvals/${approvalId}/decide`, {
        method: 'POST',
        headers: { authorization: `Bearer ${weft.apiKey}`, 'content-type': 'application/json' },
        body: '{"decision":"approve"}',
      })
      if (!answer.ok)
        throw new Error(`the decision was answered with ${answer.status}: ${await answer.text()}`)
    },
    stop: () => weft.stop(),
  }
}
