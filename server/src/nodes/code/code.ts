/** `code`: JavaScript of the workflow's author, in a sandbox that has memory, time and nothing else. */
import type { Json } from '@weft/engine'
import { z } from 'zod'
import { defineNode } from '../define-node.ts'
import { type NodeError, nodeError } from '../errors.ts'
import type { NodeType } from '../node-type.ts'
import type { SandboxFailure } from './protocol.ts'
import { MEMORY_BYTES, type Sandbox, SandboxError } from './sandbox.ts'

export const codeNode = (sandbox: Sandbox): NodeType =>
  defineNode({
    type: 'code',
    title: 'Code',
    description:
      'Runs JavaScript in a sandbox without network, files or timers; what it returns is the output.',
    icon: 'braces',
    config: z.strictObject({
      code: z
        .string()
        .min(1)
        .describe(
          'The body of an async function: reads `input`, may `console.log`, and returns a value. Never interpolated.',
        ),
      input: z.unknown().optional().describe('What the code sees as `input`; give it steps by expressions.'),
    }),
    effect: 'pure',
    timeoutMs: 10_000,
    timedOut: {
      code: 'code_timeout',
      retryable: false,
      advice: 'Look for a loop without an end, work on less data, or give the step a longer `timeout`.',
    },
    fields: { '/code': 'raw' },
    async run({ code, input = null }, context) {
      const call = { code, input: JSON.stringify(input) }
      try {
        const output = await sandbox.run(call, context.abortSignal, (text, level) =>
          context.log(text, undefined, level),
        )
        return JSON.parse(output) as Json
      } catch (error) {
        throw error instanceof SandboxError ? errorOf(error.failure) : error
      }
    },
  })

function errorOf(failure: SandboxFailure): NodeError {
  const { line, column, message } = failure
  const details = { ...(line !== undefined && { line }), ...(column !== undefined && { column }) }
  const place = line === undefined ? '' : ` (line ${line}, column ${column})`
  switch (failure.reason) {
    case 'failed':
      return nodeError('code_failed', `${message}${place}`, { details })
    case 'output':
      return nodeError(
        'invalid_output',
        `What the code returned cannot be kept: ${message}. Return plain data.`,
      )
    case 'out_of_memory':
      return nodeError(
        'code_out_of_memory',
        `The code asked for more memory than the sandbox has, ${MEMORY_BYTES / 1024 / 1024} MiB. Keep less of the data at once, or work on it in portions with \`forEach\`.`,
      )
    case 'stopped':
      return nodeError('aborted', 'The code was stopped.')
    case 'crashed':
      return nodeError(
        'code_crashed',
        `The sandbox broke down under the code: ${message}. Deep recursion is the usual cause: use a loop.`,
      )
  }
}
