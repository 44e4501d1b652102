/** `http`: one request through the egress guard, its answer as data. */
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import { defineNode } from '../define-node.ts'
import type { NodeType } from '../node-type.ts'
import { httpConfig } from './config.ts'
import { requestOf } from './request.ts'
import { isExpected, outputOf, statusError } from './response.ts'

export const httpNode = (clock: Clock): NodeType =>
  defineNode({
    type: 'http',
    title: 'HTTP request',
    description: 'Sends one HTTP request and answers status, headers and body.',
    icon: 'globe',
    config: httpConfig,
    output: z.object({
      status: z.int(),
      headers: z.record(z.string(), z.string()).describe('Names in lower case.'),
      body: z.unknown().describe('JSON when the content type says so, else text, else a blob reference.'),
      url: z.string().describe('Where the answer came from, after redirects.'),
    }),
    effect: 'write',
    timeoutMs: 30_000,
    fields: { '/url': 'url' },
    async run(config, context) {
      const request = requestOf(config, await context.credential(), context)
      const response = await context.request(
        config.followRedirects ? request : { ...request, maxRedirects: 0 },
      )
      if (!isExpected(response.status, config.expect)) {
        throw statusError(request.method, response, config.expect, clock.now())
      }
      return outputOf(response, context.blobs)
    },
  })
