/** The API's answers, as far as the CLI reads them. */
import type {
  Explanation,
  Json,
  JsonObject,
  NodeTypeInfo,
  Preview,
  RunStatus,
  StepError,
  StepView,
} from '@weft/engine'

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly nextCursor: string | null
}

export interface RunSummary {
  readonly id: string
  readonly workflow: string
  readonly version: number | null
  readonly status: RunStatus
  readonly waitingFor: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly error: StepError | null
  readonly seq: number
  readonly createdAt: number
  readonly finishedAt: number | null
  readonly stuckReason: string | null
}

export interface RunOutcome extends RunSummary {
  readonly output: Json
}

export interface RunDetail extends RunOutcome {
  readonly input: Json
  /** Hashes of the run's definitions, the base first. */
  readonly versions: readonly string[]
  readonly steps: readonly StepView[]
}

export interface RunGraph {
  readonly hash: string
  readonly definition: Json
}

export interface RunPatch {
  readonly seq: number
  readonly at: number
  readonly actor: string
  readonly reason: string
  readonly operations: readonly Json[]
  readonly before: string
  readonly after: string
  readonly approvedBy: string | null
}

export interface RunWhy {
  readonly id: string
  readonly status: RunStatus
  readonly waitingFor: readonly string[]
  readonly stuckReason: string | null
  readonly tokens: readonly Explanation[]
  readonly hints: readonly string[]
}

export interface Approval {
  readonly id: string
  readonly runId: string
  readonly key: string | null
  readonly status: string
  readonly title: string
  readonly body: string | null
  readonly form: JsonObject | null
  readonly assignees: readonly string[]
  readonly openedAt: number
  readonly expiresAt: number | null
  readonly actor: string | null
  readonly patch: {
    readonly operations: Json
    readonly before: string
    readonly preview: Preview
  } | null
}

export interface BulkAnswer {
  readonly runs: readonly string[]
  readonly queued: number
  /** Runs that the server's limits had no room for, by reason; cancels are not limited. */
  readonly refused?: readonly { readonly detail: string; readonly runs: readonly string[] }[]
  readonly nextCursor: string | null
}

export interface DeadLetter {
  readonly id: string
  readonly runId: string
  readonly workflow: string
  readonly key: string
  readonly handled: boolean
  readonly replayable: boolean
  readonly error: StepError
  readonly failedAt: number
}

export interface DeadLetterDetail extends DeadLetter {
  readonly attempts: readonly { readonly attempt: number; readonly error: StepError }[]
  readonly node: Json
  readonly input: Json
}

export interface WorkflowSummary {
  readonly name: string
  readonly version: number
  readonly tags: readonly string[]
  readonly graph: string
  readonly description: string | null
  readonly createdAt: number
}

export interface WorkflowDetail extends WorkflowSummary {
  readonly source: string | null
  readonly definition: Json
}

export interface PushedWorkflow {
  readonly name: string
  readonly version: number
  readonly created: boolean
  readonly warnings: readonly { code: string; message: string; step?: string }[]
}

export interface Variable {
  readonly name: string
  readonly value: Json
  readonly updatedAt: number
}

export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly role: string
  /** What a worker's key is for; `null`: all. */
  readonly taskTypes: readonly string[] | null
  readonly createdAt: number
  readonly expiresAt: number | null
}

export interface CreatedApiKey extends ApiKey {
  /** The secret. */
  readonly key: string
}

export interface Credential {
  readonly name: string
  readonly source: 'store' | 'environment'
  readonly keyId: string | null
  readonly rotatedAt: number | null
  readonly readable: boolean
}

export interface CommandAnswer {
  readonly commandId: string
  readonly accepted?: true
  readonly detail?: Json
}

export interface SentMessage {
  readonly id: string
  readonly status: 'kept' | 'delivered' | 'expired'
  readonly runs: readonly string[]
  readonly expiresAt: number
}

export interface Message extends SentMessage {
  readonly name: string
  readonly key: string | null
  readonly data: Json
  readonly actor: string
  readonly createdAt: number
}

export type NodeTypePage = Page<NodeTypeInfo & { readonly served: boolean }>

export interface WorkerSummary {
  readonly name: string
  readonly kind: 'process' | 'program'
  readonly types: readonly {
    readonly type: string
    readonly active: number
    readonly limit: number | null
  }[]
  readonly startedAt: number
  readonly seenAt: number
}

export interface QueueSummary {
  readonly type: string
  readonly waiting: number
  readonly active: number
  readonly delayed: number
  readonly oldestAgeMs: number
}

export interface About {
  readonly version: string
  readonly postgres: { readonly version: string; readonly settings: Readonly<Record<string, string>> }
  readonly clockOffsetMs: number
  readonly runs: { readonly byStatus: Readonly<Record<string, number>>; readonly stuck: number }
  readonly transport: string
  readonly coordinators: readonly {
    readonly name: string
    readonly partitions: readonly number[]
    readonly leaving: boolean
    readonly silentMs: number
  }[]
  readonly held: readonly { readonly name: string; readonly since: number }[]
  readonly lanes: readonly QueueSummary[]
}

export interface ResumedAll {
  readonly resumed: readonly string[]
  readonly runs: number
}

/** Every page of a list, one after another, until `most` items. */
export async function collect<Item>(
  fetchPage: (cursor: string | undefined) => Promise<Page<Item>>,
  most: number,
): Promise<Item[]> {
  const items: Item[] = []
  let cursor: string | undefined
  do {
    const page = await fetchPage(cursor)
    items.push(...page.items)
    cursor = page.nextCursor ?? undefined
  } while (cursor !== undefined && items.length < most)
  return items.slice(0, most)
}
