/**
 * The service in a process of its own: `node examples/service/main.ts --port 0 [--ledger FILE] [--exit-with-parent]`.
 * One line of JSON on standard output says that it listens, where, and the nonce of this start.
 */
import { parseArgs } from 'node:util'
import { startService } from './service.ts'

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    ledger: { type: 'string' },
    nonce: { type: 'string' },
    'exit-with-parent': { type: 'boolean', default: false },
  },
})

const service = await startService({
  port: Number(values.port),
  ledgerFile: values.ledger,
  nonce: values.nonce,
})
process.stdout.write(`${JSON.stringify({ ready: true, port: service.port, nonce: service.nonce })}\n`)

async function exit(): Promise<void> {
  await service.stop()
  process.exit(0)
}

process.once('SIGTERM', exit)
process.once('SIGINT', exit)
// The parent holds the other end of standard input: its death, by whatever means, closes it.
if (values['exit-with-parent']) process.stdin.once('close', exit).resume()
