/**
 * Restate: its server (from npm, in a process of its own) and a service of three `ctx.run` in this process. The client
 * calls the service through the server's ingress and gets the result with the answer, without a poll.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createServer, type Http2Server } from 'node:http2'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import * as restate from '@restatedev/restate-sdk'
import * as clients from '@restatedev/restate-sdk-clients'
import type { Peer, Servers } from './peer.ts'

const READY_WITHIN_MS = 30_000
const PARTITIONS = 4

const chain3 = restate.service({
  name: 'chain3',
  handlers: {
    run: async (context: restate.Context, order: number): Promise<string> => {
      const first = await context.run('first', async () => `order ${order}`)
      const second = await context.run('second', async () => `${first}, checked`)
      return context.run('third', async () => `${second}, sent`)
    },
  },
})

export async function start({ directory }: Servers): Promise<Peer> {
  const service = createServer(
    restate.createEndpointHandler({ services: [chain3], logger: () => {} }) as Parameters<
      typeof createServer
    >[1],
  )
  const servicePort = await listen(service)
  const [ingress, admin, node] = await Promise.all([freePort(), freePort(), freePort()])
  const server = startServer(directory, { ingress, admin, node })
  const adminUrl = `http://127.0.0.1:${admin}`
  await untilReady(server, `${adminUrl}/health`)
  await untilReady(server, `http://127.0.0.1:${ingress}/restate/health`)
  const registered = await fetch(`${adminUrl}/deployments`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ uri: `http://127.0.0.1:${servicePort}` }),
  })
  if (!registered.ok) throw new Error(`Restate refused the service: ${await registered.text()}`)
  const client = clients.connect({ url: `http://127.0.0.1:${ingress}` }).serviceClient(chain3)
  return {
    durability: "its own replicated log, one replica, synced to disk (RocksDB's log with fsync)",
    tuning: `${PARTITIONS} partitions in place of 24, for two cores; HTTP/2 streams to the service; web UI off`,
    async run(order) {
      const result = await client.run(order)
      if (result !== `order ${order}, checked, sent`) throw new Error(`Restate answered ${result}`)
    },
    async recorded() {
      const count = async (query: string): Promise<number> => {
        const answer = await fetch(`${adminUrl}/query`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', accept: 'application/json' },
          body: JSON.stringify({ query }),
        })
        const body = (await answer.json()) as { rows: { count: number }[] }
        return body.rows[0]?.count ?? 0
      }
      return {
        runs: await count("select count(*) as count from sys_invocation where status = 'completed'"),
        steps: await count(
          "select count(*) as count from sys_journal where entry_type = 'Notification: Run'",
        ),
      }
    },
    async stop() {
      server.kill('SIGKILL') // nothing of it is kept, and an orderly end takes it many seconds
      await new Promise((resolve) => server.once('exit', resolve))
      service.close()
    },
  }
}

function startServer(
  directory: string,
  ports: { readonly ingress: number; readonly admin: number; readonly node: number },
): ChildProcess {
  const main = createRequire(import.meta.url).resolve(
    `@restatedev/restate-server-${process.platform}-${process.arch}/package.json`,
  )
  const child = spawn(join(dirname(main), 'bin', 'restate-server'), ['--no-logo'], {
    cwd: directory,
    stdio: 'ignore',
    env: {
      RESTATE_BASE_DIR: directory,
      RESTATE_NODE_NAME: 'bench',
      RESTATE_LISTEN_MODE: 'tcp',
      RESTATE_BIND_IP: '127.0.0.1',
      RESTATE_BIND_PORT: String(ports.node),
      RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${ports.node}`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ports.ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${ports.admin}`,
      RESTATE_ADMIN__DISABLE_WEB_UI: 'true',
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_DEFAULT_NUM_PARTITIONS: String(PARTITIONS),
      RESTATE_LOG_FILTER: 'error',
    },
  })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

async function untilReady(server: ChildProcess, url: string): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS
  for (;;) {
    const answer = await fetch(url).catch(() => null)
    if (answer?.ok) return
    if (server.exitCode !== null) throw new Error(`restate-server ended with ${server.exitCode}`)
    if (performance.now() > deadline) throw new Error(`${url} was not ready after ${READY_WITHIN_MS} ms`)
    await pause(50)
  }
}

function listen(server: Http2Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
  })
}

async function freePort(): Promise<number> {
  const server = createTcpServer()
  const port = await new Promise<number>((resolve) =>
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)),
  )
  await new Promise((resolve) => server.close(resolve))
  return port
}
