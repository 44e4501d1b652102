/**
 * What is said over the WebSocket, as zod schemas: the source of the checks and of the documents. Each message is one
 * JSON text with a `type`.
 */
import { z } from 'zod'
import { runEvent } from './schemas.ts'

export const MAX_SUBSCRIPTIONS = 1_000
export const MAX_MESSAGE_BYTES = 128 * 1024

const reference = z
  .string()
  .max(100, 'has more than 100 characters; shorten it')
  .optional()
  .describe('anything of yours: it comes back in the answer')
const runId = z.string().max(100)
const workspaceFlag = z.literal(true).optional()

const followedRun = z.strictObject({
  id: runId,
  fromSeq: z
    .number()
    .int()
    .min(1)
    .default(1)
    .describe('number of the first event to be sent: 1 for the whole log, or the last one seen and one'),
})

const clientMessages = {
  auth: z.strictObject({
    type: z.literal('auth'),
    token: z.string().min(1).max(1_000).describe('an API key'),
    ref: reference,
  }),
  subscribe: z
    .strictObject({
      type: z.literal('subscribe'),
      runs: z.array(followedRun).max(MAX_SUBSCRIPTIONS).default([]),
      workspace: workspaceFlag.describe('hints of every run: what has one more event, and no past'),
      ref: reference,
    })
    .describe('follow runs, each from an event on; a run that is followed already starts again from there'),
  unsubscribe: z.strictObject({
    type: z.literal('unsubscribe'),
    runs: z.array(runId).max(MAX_SUBSCRIPTIONS).default([]),
    workspace: workspaceFlag,
    ref: reference,
  }),
  ping: z.strictObject({ type: z.literal('ping'), ref: reference }).describe('answered with `pong`'),
}

/** By type; `liveClientMessage` is any of them. */
export const CLIENT_MESSAGES: Readonly<Record<string, z.ZodType<LiveClientMessage>>> = clientMessages

export const liveClientMessage = z.discriminatedUnion('type', [
  clientMessages.auth,
  clientMessages.subscribe,
  clientMessages.unsubscribe,
  clientMessages.ping,
])
export type LiveClientMessage = z.output<typeof liveClientMessage>

const fromSeq = z.number().int()

export const liveServerMessage = z.discriminatedUnion('type', [
  z
    .strictObject({ type: z.literal('ready'), workspace: z.string(), ref: reference })
    .describe('the key is good: subscribe now'),
  z.strictObject({
    type: z.literal('subscribed'),
    runId: runId.optional(),
    fromSeq: fromSeq.optional(),
    workspace: workspaceFlag,
    ref: reference,
  }),
  z.strictObject({
    type: z.literal('unsubscribed'),
    runId: runId.optional(),
    workspace: workspaceFlag,
    ref: reference,
  }),
  z
    .strictObject({ type: z.literal('event'), runId, event: runEvent })
    .describe('the next event of a run: `event.seq` grows by one from message to message'),
  z
    .strictObject({
      type: z.literal('attempt'),
      runId,
      key: z.string(),
      attempt: z.number(),
      state: z.enum(['started', 'progress', 'log']),
      percent: z.number().optional(),
      text: z.string().optional(),
      at: z.number(),
    })
    .describe('what an attempt says while it works; stands in no log, and may be lost'),
  z
    .strictObject({
      type: z.literal('missed'),
      runId: runId.optional(),
      fromSeq: fromSeq.optional(),
      workspace: workspaceFlag,
    })
    .describe(
      'you read too slowly, and messages without a number were dropped. Of a run, its events follow from the log, from `fromSeq` on; of the workspace, look again at what you show',
    ),
  z
    .strictObject({ type: z.literal('ended'), runId, seq: fromSeq })
    .describe('the run is finished, and you have all of it'),
  z
    .strictObject({ type: z.literal('hint'), runId, seq: fromSeq, event: z.string(), at: z.number() })
    .describe('some run of the workspace has one more event'),
  z.strictObject({ type: z.literal('pong'), ref: reference }),
  z
    .strictObject({
      type: z.literal('error'),
      code: z.string().describe('stable, as in problems'),
      message: z.string(),
      runId: runId.optional(),
      ref: reference,
    })
    .describe('something could not be done; the connection stays, unless it says otherwise'),
])
export type LiveServerMessage = z.output<typeof liveServerMessage>
