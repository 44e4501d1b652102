/**
 * Kept-alive connections, and the check that no connection escapes.
 *
 * Invariants
 * 1. The address connected to is the address that was judged: the answer of one resolution is judged and handed to the
 *    socket, which asks nobody again. A name that answers differently a moment later gains nothing.
 * 2. Pools are kept per origin and passage key (guard.ts), so a connection serves only requests under the allow entries
 *    it was opened under.
 */
import { lookup as systemLookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import { LRUCache } from 'lru-cache'
import { Pool } from 'undici'
import { type IpAddress, parseAddress } from './address.ts'
import { EgressError } from './error.ts'
import type { Passage } from './guard.ts'

export type Resolve = (host: string) => Promise<string[]>

/** At a time, per origin: as many as the `http` node type has attempts, with room for a burst. */
const CONNECTIONS_PER_ORIGIN = 128

const MAX_POOLS = 256

export interface Connections {
  to(passage: Passage): Pool
  /** Ends every connection; requests in flight fail. */
  close(): Promise<void>
}

export function createConnections({
  resolve = resolveBySystem,
  connectTimeoutMs,
}: {
  resolve?: Resolve
  connectTimeoutMs: number
}): Connections {
  const pools = new LRUCache<string, Pool>({
    max: MAX_POOLS,
    dispose: (pool, _key, reason) => {
      if (reason === 'evict') void pool.close()
    },
  })
  const resolveTogether = shareAnswers(resolve)

  return {
    to(passage) {
      const key = `${passage.origin} ${passage.key}`
      let pool = pools.get(key)
      if (pool === undefined) {
        pool = new Pool(passage.origin, {
          connections: CONNECTIONS_PER_ORIGIN,
          pipelining: 1,
          allowH2: false,
          // How long an answer may take is the caller's to say; a model may think for longer than any default.
          headersTimeout: 0,
          bodyTimeout: 0,
          connect: {
            timeout: connectTimeoutMs,
            lookup: judgedLookup(passage, resolveTogether),
            autoSelectFamily: true,
          },
        })
        pools.set(key, pool)
      }
      return pool
    },
    async close() {
      const open = [...pools.values()]
      pools.clear()
      await Promise.all(open.map((pool) => pool.destroy()))
    },
  }
}

/** Names only: a host that is an address never comes here, the guard has judged it with the URL. */
function judgedLookup(passage: Passage, resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    addressesOf(hostname, resolve)
      .then((addresses) => {
        passage.judge(addresses)
        const found = addresses.map((address) => ({
          address: address.toString(),
          family: address.kind() === 'ipv4' ? 4 : 6,
        }))
        if (options.all) callback(null, found)
        else callback(null, found[0]!.address, found[0]!.family)
      })
      .catch((error: Error) => callback(error, ''))
  }
}

async function addressesOf(hostname: string, resolve: Resolve): Promise<IpAddress[]> {
  let answers: string[]
  try {
    answers = await resolve(hostname)
  } catch (cause) {
    throw unresolved(hostname, (cause as Error).message, cause)
  }
  if (answers.length === 0) throw unresolved(hostname, 'the answer holds no address')
  return answers.map((answer) => {
    const address = parseAddress(answer)
    if (address === undefined) throw unresolved(hostname, `\`${answer}\` is not an address`)
    return address
  })
}

const unresolved = (hostname: string, reason: string, cause?: unknown): EgressError =>
  new EgressError(
    'dns_failed',
    `The name ${hostname} could not be resolved: ${reason}. Check its spelling and the DNS of this machine.`,
    { cause },
  )

const resolveBySystem: Resolve = async (host) =>
  (await systemLookup(host, { all: true, order: 'verbatim' })).map(({ address }) => address)

/** Connections that are opened at once ask once. Nothing is kept beyond the answer, so there is no age to judge. */
function shareAnswers(resolve: Resolve): Resolve {
  const asked = new Map<string, Promise<string[]>>()
  return (host) => {
    let answer = asked.get(host)
    if (answer === undefined) {
      answer = resolve(host).finally(() => asked.delete(host))
      asked.set(host, answer)
    }
    return answer
  }
}
