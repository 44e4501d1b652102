/** The shapes of dead letters and of their replay. */
import { z } from 'zod'
import { bulkPage, bulkRetryAnswer, cursor, json, limit, page, plain, stepError, time } from './vocabulary.ts'

const deadLetterFilter = {
  workflow: plain(300).optional(),
  runId: plain(100).optional(),
  step: plain(100).optional().describe('a node’s id: the step, or its items'),
  code: plain(100).optional().describe('code of the error'),
}

export const deadLettersQuery = z.strictObject({ ...deadLetterFilter, cursor, limit })

export const replayBody = z.strictObject({ filter: z.strictObject(deadLetterFilter), ...bulkPage })

export const deadLetter = z.object({
  id: z.string(),
  runId: z.string(),
  rootId: z.string().describe('the run that a replay retries'),
  replayable: z.boolean(),
  workflow: z.string(),
  version: z.number().nullable(),
  key: z.string().describe('the step'),
  round: z.number(),
  attempt: z.number(),
  handled: z.boolean().describe('an edge or `onError` dealt with it'),
  error: stepError,
  failedAt: time,
})

export const deadLetterPage = page(deadLetter)

export const deadLetterDetail = deadLetter.extend({
  attempts: z.array(
    z.object({
      attempt: z.number(),
      error: stepError,
      at: time,
      startedAt: time.nullable(),
      worker: z.string().nullable(),
    }),
  ),
  node: json.describe('the step as the definition has it'),
  input: json.describe('the run’s input'),
})

export const replayAnswer = bulkRetryAnswer.omit({ matched: true }).extend({ letters: z.array(z.string()) })
