/**
 * A Redis of the tests' own: on 127.0.0.1, on a free port, in a folder of its own, without persistence, gone afterwards.
 * Killed, started again at the same address, frozen: what a Redis goes through.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'
import { findRedis } from './programs.ts'

const READY_WITHIN_MS = 30_000

const running = new Set<RedisServer>()
// Whoever started one and is ended before it could end it leaves nothing behind.
process.once('exit', () => {
  for (const server of running) server.abandon()
})

export interface RedisServerOptions {
  /** As on the command line: `['--requirepass', 'secret']`. */
  readonly settings?: readonly string[]
  readonly port?: number
}

export class RedisServer {
  readonly port: number
  readonly url: string
  /** For what the settings name: certificates, lists of users. */
  readonly folder: string
  readonly #settings: readonly string[]
  #child: ChildProcess | null = null
  #guard: ChildProcess | null = null
  #ended: Promise<void> = Promise.resolve()
  #output = ''

  private constructor(port: number, settings: readonly string[], folder: string) {
    this.port = port
    this.url = `redis://127.0.0.1:${port}`
    this.#settings = settings
    this.folder = folder
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const folder = mkdtempSync(join(tmpdir(), 'weft-test-redis-'))
    const server = new RedisServer(options.port ?? (await freePort()), options.settings ?? [], folder)
    running.add(server)
    try {
      await server.start()
    } catch (error) {
      await server.stop()
      throw error
    }
    return server
  }

  /** Starts it again at the same address, with nothing in it. */
  async start(): Promise<void> {
    const program = findRedis()
    if (program === null)
      throw new Error('there is no redis-server on this machine: apt-get install redis-server')
    this.#output = ''
    const args = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.folder]
    const child = spawn(program, [...args, '--save', '', '--appendonly', 'no', ...this.#settings], {
      cwd: this.folder,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true, // a terminal's Ctrl-C is for the tests, which end it in order
    })
    this.#child = child
    this.#guard = guardOf(child.pid, this.folder)
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-2_000)
      })
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    let isOver = false
    void this.#ended.then(() => {
      isOver = true
    })
    const begun = performance.now()
    while (!(await answers(this.port))) {
      if (isOver || performance.now() - begun > READY_WITHIN_MS)
        throw new Error(`redis-server did not start:\n${this.#output}`)
      await pause(5)
    }
  }

  get pid(): number | undefined {
    return this.#child?.pid
  }

  /** SIGKILL; what it held is gone. */
  async kill(): Promise<void> {
    // Its group: the shell and the program that it waits for.
    if (this.#guard?.pid) process.kill(-this.#guard.pid, 'SIGKILL')
    this.#guard = null
    this.#child?.kill('SIGKILL')
    await this.#ended
    this.#child = null
  }

  /** One command, on a connection of its own. */
  async command(name: string, ...args: string[]): Promise<unknown> {
    const client = new Redis(this.url)
    try {
      return await client.call(name, ...args)
    } finally {
      client.disconnect()
    }
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#child?.kill('SIGCONT')
  }

  async stop(): Promise<void> {
    await this.kill()
    this.abandon()
  }

  /** The last act of a process that ends. */
  abandon(): void {
    this.#child?.kill('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 })
    running.delete(this)
  }
}

/** Ends the server should this process be killed without a word: its end of the pipe closes then. */
function guardOf(pid: number | undefined, folder: string): ChildProcess | null {
  if (pid === undefined) return null
  const script = 'cat > /dev/null; kill -9 "$1"; rm -rf "$2"'
  const guard = spawn('sh', ['-c', script, 'sh', `${pid}`, folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  guard.on('error', () => {})
  guard.unref()
  return guard
}

/** It says anything at all, be it that it wants a password. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (isUp: boolean): void => {
      socket.destroy()
      resolve(isUp)
    }
    socket.once('connect', () => socket.write('PING\r\n'))
    socket.once('data', (data) => settle(!data.toString().startsWith('-LOADING')))
    socket.once('error', () => settle(false))
    socket.once('close', () => settle(false))
  })
}
