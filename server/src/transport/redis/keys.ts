/**
 * The only place that knows how keys and channels are called. Every key of Weft begins with one prefix, so that one Redis
 * may serve several installations, and tests. Scripts get the prefix as their first argument (scripts/prelude.lua).
 */
export type Keys = ReturnType<typeof keysOf>

export function keysOf(prefix: string) {
  return {
    prefix,
    /** Stream of a partition's signals. */
    signals: (partition: number) => `${prefix}signals:${partition}`,
    /** Hash: partition, and the last id of its stream that its owner was given. */
    handedOut: `${prefix}handed-out`,
    /** Channel: the type of a queue that is not empty any more. */
    wake: `${prefix}wake`,
    /** Channel of live messages. */
    live: `${prefix}live`,
  }
}
