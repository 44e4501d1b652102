/**
 * One subscription to the live lane for the whole API, handed on by run, by workspace and by command: a message costs a
 * look-up for each, however many callers wait.
 *
 * Live messages may be lost (R5 of the lane's contract): every waiter here also looks into the store now and then.
 */
import type { LiveMessage, Transport } from '../transport/transport.ts'

type RunMessage = Extract<LiveMessage, { kind: 'event' | 'attempt' }>
type RunListener = (message: RunMessage) => void
type EventListener = (message: Extract<LiveMessage, { kind: 'event' }>) => void

export class Watch {
  readonly #runs = new Map<string, Set<RunListener>>()
  readonly #workspaces = new Map<string, Set<EventListener>>()
  readonly #commands = new Map<string, Set<() => void>>()
  readonly #unsubscribe: () => void

  constructor(transport: Transport) {
    this.#unsubscribe = transport.live.subscribe((message) => {
      if (message.kind === 'verdict') {
        for (const listener of this.#commands.get(message.commandId) ?? []) listener()
      } else if (message.kind === 'event' || message.kind === 'attempt') {
        const listeners = this.#runs.get(message.runId)
        if (listeners) for (const listener of listeners) listener(message)
        if (message.kind === 'attempt' || this.#workspaces.size === 0) return
        for (const listener of this.#workspaces.get(message.workspace) ?? []) listener(message)
      }
    })
  }

  run(runId: string, listener: RunListener): () => void {
    return add(this.#runs, runId, listener)
  }

  /** Events of every run of a workspace. */
  workspace(workspace: string, listener: EventListener): () => void {
    return add(this.#workspaces, workspace, listener)
  }

  command(commandId: string, listener: () => void): () => void {
    return add(this.#commands, commandId, listener)
  }

  /** How many runs, workspaces and commands somebody waits for. */
  get size(): number {
    return this.#runs.size + this.#workspaces.size + this.#commands.size
  }

  close(): void {
    this.#unsubscribe()
    this.#runs.clear()
    this.#workspaces.clear()
    this.#commands.clear()
  }
}

function add<Listener>(map: Map<string, Set<Listener>>, key: string, listener: Listener): () => void {
  let listeners = map.get(key)
  if (!listeners) {
    listeners = new Set()
    map.set(key, listeners)
  }
  listeners.add(listener)
  return () => {
    const current = map.get(key)
    current?.delete(listener)
    if (current?.size === 0) map.delete(key)
  }
}
