/** The shapes of workflows: definitions, versions, tags. */
import { z } from 'zod'
import { json, page, problem, sourceText, time, warning } from './vocabulary.ts'

export const definitionBody = z.strictObject({
  definition: json.optional(),
  source: sourceText.optional(),
  tags: z
    .array(z.string().regex(/^[a-z][a-z0-9_.-]{0,62}$/i, 'a tag begins with a letter'))
    .max(20)
    .optional(),
})

export const tagBody = z.strictObject({ version: z.number().int().min(1) })

export const workflow = z.object({
  name: z.string(),
  version: z.number(),
  tags: z.array(z.string()),
  graph: z.string(),
  description: z.string().nullable(),
  createdAt: time,
})

export const workflowDetail = workflow.extend({ source: z.string().nullable(), definition: json })

export const workflowPage = page(workflow)

export const pushedWorkflow = z.object({
  name: z.string(),
  version: z.number(),
  created: z.boolean().describe('false: the newest version is the same already'),
  graph: z.string(),
  warnings: z.array(warning),
})

export const validation = z.object({
  valid: z.boolean(),
  problems: z.array(problem),
  warnings: z.array(warning),
  name: z.string().nullable(),
  graph: z.string().nullable(),
})
