/** The headers by which another service knows an attempt again: what it was for, and whether it saw it before. */
import type { NodeContext } from './node-type.ts'

export const attemptHeaders = (context: NodeContext): Record<string, string> => ({
  'x-weft-run': context.runId,
  'x-weft-step': context.stepKey,
  'x-weft-round': String(context.round),
  'x-weft-attempt': String(context.attempt),
})
