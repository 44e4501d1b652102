import {
  CONTROL_NODE_TYPES,
  compile,
  type Graph,
  type JsonObject,
  type NodeTypes,
  normaliseDefinition,
  type RunEvent,
} from '@weft/engine'
import { expect, test } from 'vitest'
import { createRunPicture } from '../../src/cli/draw.ts'
import { createPaint, jsonText } from '../../src/cli/paint.ts'
import { eventLine } from '../../src/cli/sentences.ts'
import { logNode } from '../../src/nodes/log.ts'

const TYPES: NodeTypes = new Map(
  [...CONTROL_NODE_TYPES, { ...logNode.info, type: 'act', config: { type: 'object' } }].map((info) => [
    info.type,
    info,
  ]),
)
const RUN = '0190a000-0000-7000-8000-0000000000a1'

function graphOf(nodes: JsonObject): Graph {
  const normal = normaliseDefinition({ weft: 1, name: 'order', nodes })
  if (!normal.ok) throw new Error(JSON.stringify(normal.problems))
  const compiled = compile(normal.definition, TYPES)
  if (!compiled.ok) throw new Error(JSON.stringify(compiled.problems))
  return compiled.graph
}

const started = (graph: Graph): RunEvent => ({
  type: 'run.started',
  at: 0,
  graph: graph.hash,
  input: {},
  labels: {},
  workflow: { name: 'order', version: 2 },
  vars: {},
  actor: 'key:ann',
})

function picture(nodes: JsonObject, events: readonly RunEvent[], taken: string[] = []) {
  const graph = graphOf(nodes)
  const drawing = createRunPicture({ runId: RUN, graph, isColoured: false, taken })
  for (const event of [started(graph), ...events]) drawing.event(event)
  return drawing
}

const WIDE = { width: 100 }
const FLOW = {
  fetch: { type: 'act' },
  fan: { type: 'act', needs: 'fetch', forEach: { items: '[1,2,3,4,5,6,7]', maxConcurrency: 2 } },
  ask: { type: 'approval', needs: 'fetch', with: { title: 'Release \u001b[31mit?', timeout: '10s' } },
  send: { type: 'act', needs: ['fan', 'ask'] },
}
const FETCHED: RunEvent = {
  type: 'step.completed',
  at: 300,
  key: 'fetch',
  round: 1,
  attempt: 2,
  output: 1,
  startedAt: 40,
  route: { taken: ['fan', 'ask'] },
}

test('the beginning: everything is still to come', () => {
  expect(picture(FLOW, []).lines(WIDE, 100)).toEqual([
    'order  …000000a1  queued  0/4 steps  100 ms',
    ' ◌    fetch  queued',
    ' ├─╮',
    ' ○ │  ask    approval',
    ' │ ○  fan    act',
    ' ├─╯',
    ' ○    send   act',
  ])
})

test('a worker at work turns a spinner and shows what it says', () => {
  const drawing = picture(FLOW, [])
  drawing.attempt({ key: 'fetch', attempt: 1, state: 'started' })
  drawing.attempt({ key: 'fetch', attempt: 1, state: 'progress', percent: 40, text: 'page 2' })
  expect(drawing.lines(WIDE, 1500)[1]).toBe(' ⠴    fetch  1.5 s  40 %  page 2')
})

test('a retry counts down and says why', () => {
  const error = { code: 'http_status', message: 'the server answered 503', retryable: true }
  const drawing = picture(FLOW, [
    { type: 'attempt.failed', at: 100, key: 'fetch', round: 1, attempt: 1, error, retryAt: 4100 },
  ])
  expect(drawing.lines(WIDE, 1000)[1]).toBe(
    ' ↻    fetch  attempt 1 failed, next in 4 s  http_status: the server answered 503',
  )
})

test('items fill a bar; an approval names its title, harmless to the terminal', () => {
  const drawing = picture(FLOW, [
    FETCHED,
    { type: 'step.expanded', at: 310, key: 'fan', round: 1, count: 7, items: [1, 2, 3, 4, 5, 6, 7] },
    { type: 'step.completed', at: 320, key: 'fan[0]', round: 1, attempt: 1, output: 'a' },
    { type: 'step.completed', at: 330, key: 'fan[1]', round: 1, attempt: 1, output: 'b' },
    {
      type: 'step.waiting',
      at: 340,
      key: 'ask',
      round: 1,
      waitId: `${RUN}.1`,
      wakeAt: 10_340,
      wait: { kind: 'approval', title: 'Release \u001b[31mit?', onTimeout: 'reject' },
    },
  ])
  expect(drawing.lines(WIDE, 2340)).toEqual([
    'order  …000000a1  running  1/4 steps  2.34 s',
    ' ✔    fetch  260 ms  2 attempts',
    ' ├─╮',
    ' ◆ │  ask    “Release ·[31mit?” waits for a person, 8 s left',
    ' │ ◌  fan    ████░░░░░░░░░░  2/7  2 in flight',
    ' ├─╯',
    ' ○    send   act',
  ])
})

test('every line fits the terminal, also where letters are wide', () => {
  const error = { code: 'broken', message: '壊れた'.repeat(60), retryable: false }
  const drawing = picture(FLOW, [
    { type: 'step.failed', at: 100, key: 'fetch', round: 1, attempt: 1, error, handled: false },
  ])
  for (const width of [20, 41, 80]) {
    for (const line of drawing.lines({ width }, 200)) {
      const columns = [...line].reduce(
        (sum, character) => sum + (/[\u3000-\u9fff]/.test(character) ? 2 : 1),
        0,
      )
      expect(columns).toBeLessThanOrEqual(width)
    }
  }
})

test('more steps than lines: those at work are shown, the others counted', () => {
  const nodes: JsonObject = {}
  for (let index = 0; index < 40; index++)
    nodes[`n${index}`] = index < 2 ? { type: 'act' } : { type: 'act', needs: 'n0' }
  const lines = picture(nodes, []).lines({ width: 80, height: 10 }, 50)
  expect(lines.length).toBeLessThanOrEqual(10)
  expect(lines.join('\n')).toContain('n1')
  expect(lines.at(-1)).toContain('38 pending')
})

test('the end', () => {
  const drawing = picture({ fetch: { type: 'act' } }, [
    {
      type: 'step.completed',
      at: 300,
      key: 'fetch',
      round: 1,
      attempt: 1,
      output: 1,
      startedAt: 40,
      route: { taken: [] },
    },
    { type: 'run.completed', at: 301, output: 1 },
  ])
  expect(drawing.isFinished).toBe(true)
  expect(drawing.lines(WIDE, 99_000)).toEqual([
    'order  …000000a1  completed  1/1 steps  301 ms',
    ' ✔  fetch  260 ms',
  ])
})

test('colour only where it is wanted', () => {
  const graph = graphOf({ fetch: { type: 'act' } })
  const drawing = createRunPicture({ runId: RUN, graph, isColoured: true })
  drawing.event(started(graph))
  expect(drawing.lines(WIDE, 0)[0]).toContain('\u001b[1morder\u001b[22m')
})

test('one line per event, for outputs that cannot be redrawn', () => {
  const paint = createPaint(false)
  expect(eventLine(FETCHED, paint)).toBe('00:00:00.300  fetch           completed   260 ms  1')
  const error = { code: 'broken', message: 'it\nbroke', retryable: false }
  expect(eventLine({ type: 'run.failed', at: 3_661_001, error }, paint)).toBe(
    '01:01:01.001  run             failed      broken: it broke',
  )
})

test('JSON that is printed stays the same JSON and commands no terminal', () => {
  const value = { text: '\u001b[2J \u009b2J \u202e' }
  expect(jsonText(value)).toContain('\\u009b2J')
  expect(JSON.parse(jsonText(value))).toEqual(value)
})

test('what a patch weaves in stands out, with who did it and why', () => {
  const after = graphOf({ ...FLOW, check: { type: 'act', needs: 'ask' } })
  const drawing = picture(FLOW, [FETCHED])
  drawing.useGraph(after)
  drawing.event({
    type: 'run.patched',
    at: 400,
    actor: 'key:ann',
    reason: 'look\u001b[2J twice',
    operations: [],
    before: graphOf(FLOW).hash,
    after: after.hash,
    routes: {},
  })
  const line = drawing.lines(WIDE, 500).find((text) => text.includes('check'))
  expect(line).toMatch(/\+.* check +act {2}woven in by key:ann: look·\[2J twice/)
})

test('a patch under review stands above the steps, with the id to approve it by', () => {
  const proposed: RunEvent = {
    type: 'patch.proposed',
    at: 400,
    reviewId: `${RUN}.2`,
    actor: 'key:bob',
    by: 'api',
    reason: 'look \u001b[31mtwice',
    operations: [],
    before: 'sha256:0',
    preview: {},
    holds: { starts: ['send'], routes: ['ask'] },
    expiresAt: 60_400,
  }
  const [head, review] = picture(FLOW, [FETCHED, proposed], ['fan']).lines(WIDE, 30_400)
  expect([head, review]).toEqual([
    expect.stringContaining('order'),
    expect.stringMatching(/^◆ a patch by key:bob waits for review: look .*twice, 30 s left {2}0190a000/),
  ])
  expect(review).not.toContain('\u001b')
})
