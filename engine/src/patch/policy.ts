/**
 * What a workflow lets patches of its runs do: who may patch, which hosts and credentials a patch may bring in, and which
 * patches a person has to see first.
 *
 * `patches.api` speaks of people and programs, whose patches are applied unless it says otherwise. `patches.agent` speaks
 * of agents; where it says nothing, a patch of theirs that adds something which writes, a host, a credential, an agent or
 * the start of another workflow (which may hold all of these) is reviewed. `patches.hosts` and `patches.credentials` bind both: what stands there needs no review, and what does not
 * stand there is refused.
 */
import type { Definition, NodeDefinition } from '../definition.ts'
import type { Proposer } from '../event.ts'
import { CONTROL_TYPES, type NodeTypes } from '../node-type.ts'
import { collect, hostsOf, type Preview, within, writes } from './preview.ts'

export type PolicyCode = 'patch_denied' | 'patch_host_denied' | 'patch_credential_denied'

export interface PolicyRefusal {
  readonly code: PolicyCode
  readonly message: string
}

/** Whether this proposer may patch at all. */
export function refuseProposer({ patches }: Definition, by: Proposer): PolicyRefusal | null {
  if (patches?.[by] !== 'deny') return null
  const message = `The workflow denies ${by === 'agent' ? 'agents' : 'everybody'} patches of its runs (\`patches.${by}: deny\`), and a run keeps the policy that it was started under. Change the workflow and start another run.`
  return { code: 'patch_denied', message }
}

/** Whether the patch brings in what the workflow does not list. */
export function refuseNames({ patches }: Definition, preview: Preview): PolicyRefusal | null {
  const host = preview.hosts.find((name) => patches?.hosts && !isListedHost(patches.hosts, name))
  if (host !== undefined) {
    const what = host === '*' ? 'a host that is computed when the step runs' : `the host \`${host}\``
    const message = `The patch names ${what}, and the workflow lets patches bring in only these (\`patches.hosts\`): ${list(patches?.hosts)}. Use one of them, or change the workflow and start another run.`
    return { code: 'patch_host_denied', message }
  }
  const credential = preview.credentials.find((name) => patches?.credentials?.includes(name) === false)
  if (credential === undefined) return null
  const message = `The patch names the credential \`${credential}\`, and the workflow lets patches bring in only these (\`patches.credentials\`): ${list(patches?.credentials)}. Use one of them, or change the workflow and start another run.`
  return { code: 'patch_credential_denied', message }
}

const list = (names: readonly string[] | undefined): string =>
  names === undefined || names.length === 0 ? 'none' : names.map((name) => `\`${name}\``).join(', ')

/** Why a person has to see the patch before it is applied; empty: nobody has to. */
export function reasonsForReview(
  before: Definition,
  after: Definition,
  preview: Preview,
  types: NodeTypes,
  by: Proposer,
): string[] {
  const policy = before.patches?.[by]
  if (policy === 'review') return [`the workflow wants it so (\`patches.${by}: review\`)`]
  if (policy === 'auto' || by === 'api') return []
  const gains = gainsOf(before, after, preview, types)
  const { hosts = [], credentials = [] } = before.patches ?? {}
  const reasons: readonly (readonly [string, readonly string[]])[] = [
    ['it adds what writes or cannot be undone', gains.writes],
    ['it names a host', gains.hosts.filter((name) => !isListedHost(hosts, name))],
    ['it uses a credential', gains.credentials.filter((name) => !credentials.includes(name))],
    ['it adds an agent', gains.agents],
    ['it starts a workflow', gains.workflows],
  ]
  return reasons.filter(([, names]) => names.length > 0).map(([what, names]) => `${what}: ${list(names)}`)
}

/**
 * What its nodes have that they did not have before. Stricter than the preview, which leaves out what the definition
 * names elsewhere: a credential on another node is a new use of it, and nobody knows where a computed host leads, or what
 * a type will do that a worker brings later.
 */
function gainsOf(before: Definition, after: Definition, { nodes }: Preview, types: NodeTypes) {
  const writers = new Set<string>()
  const agents = new Set<string>()
  const hosts = new Set<string>()
  const credentials = new Set<string>()
  const workflows = new Set<string>()
  const acts = (node: NodeDefinition): boolean =>
    writes(node, types) || within(node, ({ type }) => !isControl(type) && !types.has(type))
  for (const id of [...nodes.added, ...nodes.changed]) {
    const was = Object.hasOwn(before.nodes, id) ? before.nodes[id] : undefined
    const now = after.nodes[id] as NodeDefinition
    const gains = (names: (node: NodeDefinition) => Set<string>): string[] => {
      const known = was ? names(was) : new Set<string>()
      return [...names(now)].filter((name) => name === '*' || !known.has(name))
    }
    if (acts(now) && !(was && acts(was))) writers.add(id)
    if (isAgent(now) && !(was && isAgent(was))) agents.add(id)
    for (const name of gains((node) => collect({ node }, hostsOf))) hosts.add(name)
    for (const name of gains((node) => collect({ node }, credentialsOf))) credentials.add(name)
    for (const name of gains((node) => collect({ node }, startsOf))) workflows.add(name)
  }
  return {
    writes: [...writers],
    agents: [...agents],
    hosts: [...hosts],
    credentials: [...credentials],
    workflows: [...workflows],
  }
}

const isControl = (type: string): boolean => (CONTROL_TYPES as readonly string[]).includes(type)

/** Stored workflows that the node starts; a computed name counts as any. */
function startsOf({ type, with: config }: NodeDefinition): string[] {
  const name = type === 'workflow' ? config?.workflow : undefined
  if (typeof name !== 'string') return []
  return [name.includes('${{') ? '*' : name]
}

const isAgent = (node: NodeDefinition): boolean => within(node, ({ type }) => type === 'agent')
const credentialsOf = (node: NodeDefinition): string[] => Object.values(node.credentials ?? {})

/** `api.example.com` (any port), `api.example.com:8443`, `*.example.com`, or `*` for every host. */
function isListedHost(listed: readonly string[], host: string): boolean {
  const withoutPort = host.replace(/:\d+$/, '')
  return listed.some((entry) => {
    const name = entry.toLowerCase()
    if (name === '*' || name === host || name === withoutPort) return true
    return (
      host !== '*' && name.startsWith('*.') && [host, withoutPort].some((one) => one.endsWith(name.slice(1)))
    )
  })
}
