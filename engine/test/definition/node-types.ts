/** Task types for tests of definitions, in the shape in which workers register theirs. */
import type { JsonObject } from '../../src/json.ts'
import { DEFAULT_RETRY, type NodeTypeInfo, type NodeTypes } from '../../src/node-type.ts'

export const task = (
  type: string,
  config: { properties: JsonObject; required?: string[] },
  more: Partial<NodeTypeInfo> = {},
): NodeTypeInfo => ({
  type,
  title: type,
  description: '',
  kind: 'task',
  labels: [],
  success: [],
  effect: 'read',
  retry: DEFAULT_RETRY,
  timeoutMs: 30_000,
  fields: {},
  config: { type: 'object', additionalProperties: false, ...config },
  ...more,
})

const LIST: readonly NodeTypeInfo[] = [
  task('log', { properties: { message: {}, level: { enum: ['info', 'warn'] } }, required: ['message'] }),
  task(
    'http',
    {
      properties: {
        method: { type: 'string' },
        url: { type: 'string' },
        json: {},
        expect: { type: 'array' },
      },
      required: ['url'],
    },
    {
      effect: 'write',
      fields: { '/url': 'url' },
      output: {
        type: 'object',
        properties: {
          status: { type: 'number' },
          headers: { type: 'object' },
          body: {},
          url: { type: 'string' },
        },
        required: ['status'],
        additionalProperties: false,
      },
    },
  ),
  task(
    'code',
    { properties: { code: { type: 'string' } }, required: ['code'] },
    { fields: { '/code': 'raw' } },
  ),
  task('agent', {
    properties: { model: { type: 'string' }, prompt: { type: 'string' }, tools: {}, output: {} },
  }),
  task(
    'slack.post_message',
    { properties: { channel: { type: 'string' }, text: { type: 'string' } }, required: ['channel', 'text'] },
    { effect: 'irreversible' },
  ),
]

export const TYPES: NodeTypes = new Map(LIST.map((info) => [info.type, info]))

export const ORDER_TRIAGE = `weft: 1
name: order-triage
description: Triage a risky order, ask a person, tell the team.
input:                       # JSON Schema of the run's input
  type: object
  required: [orderId]
  properties: { orderId: { type: string } }
nodes:
  fetch:
    type: http
    credential: shop_api
    with: { url: "https://api.example.com/orders/\${{ input.orderId }}" }
    retry: 5
  triage:
    type: agent
    needs: fetch
    with:
      model: openai/gpt-5-mini
      prompt: Judge the risk of \${{ steps.fetch.output.body }}
      tools: [memory_search, patch_workflow]
      output: { type: object, required: [risk, summary], properties: { risk: { type: number }, summary: { type: string } } }
  sign_off:
    type: approval
    needs: { triage: { when: steps.triage.output.risk > 0.7 } }
    with: { title: "Release order \${{ input.orderId }}?", timeout: 24h, onTimeout: reject }
  notify:
    type: slack.post_message
    credential: team_slack
    needs:
      triage: { when: steps.triage.output.risk <= 0.7 }
      sign_off: approved
    with: { channel: "#orders", text: "Released: \${{ steps.triage.output.summary }}" }
output: { summary: "\${{ steps.triage.output.summary }}" }
limits: { agents: 5, tokens: 200000, cost: 5.00 }
patches: { agent: auto }     # auto | review | deny
`
