/** The example service in a process of its own, so that it outlives an engine that is killed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { LedgerEntry } from '../service/ledger.ts'
import type { SlackMessage } from '../service/slack.ts'

const MAIN = join(import.meta.dirname, '..', 'service', 'main.ts')

/** What the service listens on unless told otherwise: the default of `input.service` in every example. */
export const USUAL_SERVICE_PORT = 7410

export class ServiceProcess {
  readonly port: number
  /** Drawn by the service when it started. */
  readonly nonce: string
  readonly #end: () => Promise<void>

  private constructor(port: number, nonce: string, end: () => Promise<void>) {
    this.port = port
    this.nonce = nonce
    this.#end = end
  }

  /** Rejects when the port is taken. The service ends with this process, however this one ends. */
  static async start(port: number): Promise<ServiceProcess> {
    const child = spawn(process.execPath, [MAIN, '--port', String(port), '--exit-with-parent'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Not in the terminal's group: Ctrl-C reaches this process alone, which ends the others in order.
      detached: true,
    })
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaint += text
    })
    const exited = once(child, 'exit')
    const lines = createInterface({ input: child.stdout })
    const line = await Promise.race([once(lines, 'line'), exited.then(() => null)])
    if (line === null) throw new Error(`the example service did not start on port ${port}:\n${complaint}`)
    const { port: actual, nonce } = JSON.parse(line[0] as string) as { port: number; nonce: string }
    return new ServiceProcess(actual, nonce, async () => {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await exited
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** `WEFT_CREDENTIAL_TEAM_SLACK`: the incoming webhook that this service is. */
  get slackCredential(): string {
    return JSON.stringify({ webhookUrl: `${this.url}/slack/webhook/orders` })
  }

  /** Every call so far, or those of one run. */
  async ledger(run?: string): Promise<LedgerEntry[]> {
    return (await this.#get(run === undefined ? '/ledger' : `/ledger?run=${run}`)) as LedgerEntry[]
  }

  async slackMessages(): Promise<SlackMessage[]> {
    return (await this.#get('/slack/messages')) as SlackMessage[]
  }

  /** What the Slack receiver answers from now on instead of taking a message; 200 is well again. */
  async answerSlackWith(status: number): Promise<void> {
    await fetch(`${this.url}/slack/behaviour`, { method: 'POST', body: JSON.stringify({ status }) })
  }

  stop(): Promise<void> {
    return this.#end()
  }

  async #get(path: string): Promise<unknown> {
    return (await fetch(this.url + path)).json()
  }
}
