/**
 * The transport of one process: three lanes on the heap. Nothing in it survives the process, and nothing needs to (R5).
 */
import type { Clock } from '../clock.ts'
import { memorySignals } from './memory-signals.ts'
import { memoryTasks } from './memory-tasks.ts'
import { LEASE_MS, type LiveLane, type LiveMessage, type Transport } from './transport.ts'

export function memoryTransport(options: { readonly clock: Clock; readonly leaseMs?: number }): Transport {
  const live = memoryLive()
  const signals = memorySignals()
  const tasks = memoryTasks({
    clock: options.clock,
    leaseMs: options.leaseMs ?? LEASE_MS,
    signals,
    live,
  })
  return {
    kind: 'memory',
    tasks,
    signals,
    live,
    onWiped: () => () => {},
    async close() {
      tasks.close()
      signals.close()
    },
  }
}

function memoryLive(): LiveLane {
  const listeners = new Set<(message: LiveMessage) => void>()
  return {
    publish(messages) {
      for (const listener of listeners) {
        for (const message of messages) {
          try {
            listener(message)
          } catch (error) {
            // One who watches must not stop the one who works.
            process.emitWarning(error instanceof Error ? error : String(error))
          }
        }
      }
    },
    subscribe(listener) {
      // Its own function, so that subscribing the same one twice makes two subscriptions.
      const own = (message: LiveMessage): void => listener(message)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
  }
}
