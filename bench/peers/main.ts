/**
 * One peer in a process of its own, forked by the bench with its name and the servers: starts it, puts the load on it,
 * holds what it says against what it recorded, and answers over the channel.
 */
import { readFileSync } from 'node:fs'
import { measureLoad } from '../load.ts'
import type { Peer, Servers } from './peer.ts'

/** Each module is loaded alone: a peer that cannot be installed does not keep the others from running. */
const PEERS: Readonly<Record<string, { readonly package: string; start(servers: Servers): Promise<Peer> }>> =
  {
    dbos: {
      package: '@dbos-inc/dbos-sdk',
      start: async (servers) => (await import('./dbos.ts')).start(servers),
    },
    restate: {
      package: '@restatedev/restate-server',
      start: async (servers) => (await import('./restate.ts')).start(servers),
    },
    mastra: {
      package: '@mastra/core',
      start: async (servers) => (await import('./mastra.ts')).start(servers),
    },
    bullmq: { package: 'bullmq', start: async (servers) => (await import('./bullmq.ts')).start(servers) },
  }

async function measure(name: string, servers: Servers, quick: boolean) {
  const found = PEERS[name]
  if (!found) throw new Error(`there is no peer \`${name}\``)
  const peer = await found.start(servers)
  const { figures, runs } = await measureLoad(peer.run, quick)
  const recorded = await peer.recorded()
  if (recorded.runs !== runs || recorded.steps < runs * 3)
    throw new Error(`of ${runs} runs it recorded ${recorded.runs}, with ${recorded.steps} steps`)
  await peer.stop()
  return { figures, version: versionOf(found.package), durability: peer.durability, tuning: peer.tuning }
}

function versionOf(name: string): string {
  const { version } = JSON.parse(
    readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), 'utf8'),
  ) as { version: string }
  return version
}

const [name = '', servers = '{}', quick = ''] = process.argv.slice(2)
process.once('disconnect', () => process.exit(1))
const answer = await measure(name, JSON.parse(servers) as Servers, quick === 'quick').then(
  (measured) => ({ measured }),
  (error: unknown) => ({ error: error instanceof Error ? error.message : String(error) }),
)
process.send?.(answer, () => process.exit(0))
