/** What an `http` step may say in its `with`. */
import { z } from 'zod'

const scalar = z.union([z.string(), z.number(), z.boolean(), z.null()])
const pairs = z.record(z.string(), z.union([scalar, z.array(scalar)]))

export const httpConfig = z
  .strictObject({
    method: z.enum(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']).default('GET'),
    url: z
      .string()
      .min(1)
      .describe('http or https. A value inside it is percent-encoded; a whole URL may be one expression.'),
    query: pairs
      .optional()
      .describe('Added to the URL, encoded. A list repeats the name, null leaves it out.'),
    headers: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    json: z.unknown().optional().describe('Sent as JSON.'),
    form: pairs.optional().describe('Sent URL-encoded, as a browser sends a form.'),
    body: z.string().optional().describe('Sent as it is; say its content type in `headers`.'),
    expect: z
      .union([z.int().min(100).max(599), z.array(z.int().min(100).max(599)).min(1)])
      .optional()
      .describe('The only statuses that complete the step. Without it: everything below 400.'),
    followRedirects: z.boolean().default(true),
  })
  .refine(({ json, form, body }) => [json, form, body].filter((value) => value !== undefined).length <= 1, {
    message: 'a request has one body: use one of `json`, `form` and `body`',
  })
  .refine(
    ({ method, json, form, body }) =>
      (method !== 'GET' && method !== 'HEAD') ||
      (json === undefined && form === undefined && body === undefined),
    {
      message: 'a GET or HEAD request carries no body: say `method: POST`, or use `query`',
      path: ['method'],
    },
  )

export type HttpConfig = z.output<typeof httpConfig>
