/** `log`: a line in the run's live stream, and the value passed on. The cheapest task there is. */
import type { Json } from '@weft/engine'
import { z } from 'zod'
import { defineNode } from './define-node.ts'

export const logNode = defineNode({
  type: 'log',
  title: 'Log',
  description: 'Writes a line to the live stream of the run, and has the message as its output.',
  icon: 'scroll-text',
  config: z.strictObject({
    message: z
      .union([
        z.string(),
        z.number(),
        z.boolean(),
        z.null(),
        z.array(z.unknown()),
        z.record(z.string(), z.unknown()),
      ])
      .describe('Text; any other value is written as JSON.'),
    level: z.enum(['debug', 'info', 'warn', 'error']).optional(),
    data: z.unknown().optional().describe('Passed on as it is, and shown behind the message.'),
  }),
  output: z.object({
    message: z.string(),
    level: z.enum(['debug', 'info', 'warn', 'error']),
    data: z.unknown().optional(),
  }),
  effect: 'pure',
  async run({ message, level = 'info', data }, context) {
    const text = typeof message === 'string' ? message : JSON.stringify(message)
    context.log(text, data as Json | undefined, level)
    return data === undefined ? { message: text, level } : { message: text, level, data }
  },
})
