/** Fourth act: three seconds of load, and what this machine made of it. */
import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import type { Cast } from './cast.ts'

const DURATION_MS = 3_000
const AT_ONCE = 128
const BAR_WIDTH = 30

export async function loadAct({ weft, paper }: Cast): Promise<void> {
  paper.heading(
    '4 · Three seconds of load',
    'Runs of three steps, each over HTTP from this process, each durable in PostgreSQL before the next step starts.',
  )
  const source = readFileSync(join(import.meta.dirname, 'three-steps.yaml'), 'utf8')
  const { name } = await weft.client.call<{ name: string }>('POST', '/api/v1/workflows', { body: { source } })

  const { address } = weft.client
  const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE })
  const body = JSON.stringify({ workflow: name })
  const headers = {
    authorization: `Bearer ${address.apiKey}`,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
  }
  const url = new URL('/api/v1/runs?wait=20s', address.url)
  const post = (): Promise<{ status: string }> =>
    new Promise((resolve, reject) => {
      request(url, { method: 'POST', agent, headers }, async (response) => {
        const text = (await response.toArray()).join('')
        if (response.statusCode === 200) resolve(JSON.parse(text))
        else reject(new Error(`a run was not completed: ${response.statusCode} ${text}`))
      })
        .on('error', reject)
        .end(body)
    })

  let completed = 0
  const startedAt = performance.now()
  const elapsed = (): number => Math.min(performance.now() - startedAt, DURATION_MS)
  const screen = paper.picture(() => {
    const filled = Math.round((BAR_WIDTH * elapsed()) / DURATION_MS)
    const bar = paper.paint('green', '█'.repeat(filled)) + paper.paint('dim', '░'.repeat(BAR_WIDTH - filled))
    return [` ${bar}  ${(elapsed() / 1000).toFixed(1)} s  ${whole(completed)} runs`, '']
  })
  const keepGoing = async (): Promise<void> => {
    while (performance.now() - startedAt < DURATION_MS) {
      const { status } = await post()
      // What ends after the three seconds is awaited and not counted.
      if (status === 'completed' && performance.now() - startedAt < DURATION_MS) completed++
    }
  }
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, keepGoing))
  } finally {
    screen.close()
    agent.destroy()
  }
  const perSecond = Math.round(completed / (DURATION_MS / 1000))
  paper.line(`${paper.paint('bold', `${whole(perSecond)} durable three-step runs/s`)} on this machine`)
  paper.paragraph(`${whole(completed)} runs with ${whole(3 * completed)} steps, ${AT_ONCE} at a time.`, 'dim')
}

const whole = (number: number): string => String(number).replace(/\B(?=(\d{3})+$)/g, ',')
