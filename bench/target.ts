/** The other side of the http steps: a small server in a process of its own, which answers at once. */
import { type ChildProcess, fork } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Target {
  readonly url: string
  /** `host:port`, for the egress guard. */
  readonly address: string
  stop(): void
}

export async function startTarget(): Promise<Target> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), { execArgv: [] })
  const port = await new Promise<number>((resolve) =>
    child.once('message', (port) => resolve(port as number)),
  )
  const address = `127.0.0.1:${port}`
  return { url: `http://${address}`, address, stop: () => void child.kill() }
}

const ANSWER = JSON.stringify({
  id: 'ord_1',
  customer: 'Ada',
  total: 42.5,
  items: ['warp yarn', 'weft yarn'],
})

function serve(): void {
  const server = createServer((request, response) => {
    request.resume()
    response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': ANSWER.length })
      .end(ANSWER)
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
  process.once('disconnect', () => process.exit(0))
}

if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) serve()
