/**
 * The live lane on Redis: one channel, fire and forget. A message reaches the listeners of this process by itself, and
 * those of the others through the server.
 *
 * A process that is alone on the channel sends nothing: the answer to what it sent last says so. Whoever comes says
 * hello, and is sent everything from then on.
 */
import type { LiveLane, LiveMessage } from '../transport.ts'
import { Gathering } from './gathering.ts'
import type { Keys } from './keys.ts'
import type { Link } from './link.ts'

const MAX_PER_CALL = 1_000
/** Messages that wait for a slow server; more than that are lost, which live messages may be. */
const MAX_WAITING = 20_000

export interface RedisLive extends LiveLane {
  /** The channel was subscribed to, for the first time or again. */
  joined(): void
  /** Something was said on the channel. */
  heard(text: string): void
}

/** `sender`: names this process, in as many characters as any other's. */
export function redisLive(lane: {
  readonly link: Link
  readonly keys: Keys
  readonly sender: string
}): RedisLive {
  const { link, keys, sender } = lane
  const listeners = new Set<(message: LiveMessage) => void>()
  const publishing = new Gathering<LiveMessage>(send, MAX_PER_CALL)
  let waiting = 0
  let isAlone = false
  /** Hellos of others: an answer from before one says nothing. */
  let hellos = 0

  async function send(messages: readonly LiveMessage[]): Promise<void> {
    const before = hellos
    const text = sender + JSON.stringify(messages)
    const receivers = await link.call((redis) => redis.publish(keys.live, text))
    if (hellos === before) isAlone = receivers <= 1
  }

  function tell(messages: readonly LiveMessage[]): void {
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
  }

  return {
    publish(messages) {
      tell(messages)
      if (isAlone || waiting > MAX_WAITING) return
      waiting += messages.length
      const over = (): void => {
        waiting -= messages.length
      }
      publishing.add(messages).then(over, over)
    },
    subscribe(listener) {
      // Its own function, so that subscribing the same one twice makes two subscriptions.
      const own = (message: LiveMessage): void => listener(message)
      listeners.add(own)
      return () => void listeners.delete(own)
    },
    joined() {
      // Also when this process only missed others: they may have come meanwhile.
      send([]).catch(() => {})
    },
    heard(text) {
      if (text.startsWith(sender)) return
      hellos++
      isAlone = false
      if (listeners.size > 0) tell(JSON.parse(text.slice(sender.length)) as LiveMessage[])
    },
  }
}
