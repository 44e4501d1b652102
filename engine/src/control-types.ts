/**
 * The node types that the engine performs itself: what their `with` holds, which labels they emit. How they behave is in
 * `decide/enter.ts`.
 */
import { DURATION_FORMS } from './duration.ts'
import type { JsonObject } from './json.ts'
import { type ControlType, NO_RETRY, type NodeTypeInfo } from './node-type.ts'

/** What a branch emits when none of its cases is true. */
export const DEFAULT_CASE = 'default'

/** What a case of a branch may be called: an edge names it, so it must not look like an outcome. */
export const CASE_PATTERN = /^[A-Za-z_][A-Za-z0-9_-]{0,62}$/

const duration = (description: string): JsonObject => ({
  type: ['string', 'number'],
  description: `${description} (${DURATION_FORMS}).`,
})

const config = (properties: JsonObject, required: string[], more: JsonObject = {}): JsonObject => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
  ...more,
})

type Described = Pick<NodeTypeInfo, 'title' | 'description' | 'icon' | 'config'> &
  Partial<Pick<NodeTypeInfo, 'labels' | 'success' | 'fields' | 'output'>>

const control = (type: ControlType, described: Described): NodeTypeInfo => ({
  type,
  kind: 'control',
  labels: [],
  success: [],
  effect: 'pure',
  retry: NO_RETRY,
  timeoutMs: null,
  fields: {},
  ...described,
})

const branch = control('branch', {
  title: 'Branch',
  description:
    'Takes the first case whose expression is true, in the order written, else `default`. Edges out of it name a case.',
  icon: 'split',
  fields: { '/cases/*': 'expression' },
  config: config(
    {
      cases: {
        type: 'object',
        minProperties: 1,
        description: 'Case name to expression, in the order in which they are tried.',
        additionalProperties: { type: ['string', 'boolean'] },
      },
    },
    ['cases'],
  ),
  output: config({ case: { type: 'string' } }, ['case']),
})

const set = control('set', {
  title: 'Set',
  description: 'Yields its config, with every expression replaced by its value, as output.',
  icon: 'braces',
  config: { type: 'object' },
})

const delay = control('delay', {
  title: 'Delay',
  description: 'Waits `for` a duration, or `until` a moment; one that has passed already does not wait.',
  icon: 'timer',
  config: config(
    {
      for: duration('How long to wait'),
      until: {
        type: ['string', 'number'],
        description: 'ISO 8601 date and time (UTC unless it has a zone), or milliseconds since 1970.',
      },
    },
    [],
    { oneOf: [{ required: ['for'] }, { required: ['until'] }] },
  ),
  output: { type: 'null' },
})

const approval = control('approval', {
  title: 'Approval',
  description:
    'Waits until a person approves or rejects. What they fill into the form is the output. A rejection or timeout that no edge takes fails the run.',
  icon: 'user-check',
  labels: ['approved', 'rejected', 'timeout'],
  success: ['approved'],
  fields: { '/form': 'raw' },
  config: config(
    {
      title: { type: 'string', minLength: 1 },
      body: { type: 'string', description: 'Markdown.' },
      form: { type: 'object', description: 'JSON Schema of the data that the person is asked for.' },
      assignees: {
        type: ['array', 'string'],
        items: { type: 'string' },
        description: 'Who is asked; everybody who may decide when nobody is named.',
      },
      timeout: duration('How long the question stands'),
      onTimeout: {
        enum: ['approve', 'reject', 'fail'],
        description: 'Without it a timeout emits the label `timeout`.',
      },
    },
    ['title'],
  ),
})

const wait = control('wait', {
  title: 'Wait for a message',
  description: 'Waits until a message of this name arrives; the data of the message is the output.',
  icon: 'mail',
  labels: ['received', 'timeout'],
  success: ['received'],
  fields: { '/match': 'raw' },
  config: config(
    {
      message: { type: 'string', minLength: 1, description: 'Name of the message.' },
      key: {
        type: ['string', 'number', 'boolean'],
        description: 'Correlation key: only a message sent with the same key is taken.',
      },
      match: {
        type: 'string',
        description:
          'A bare expression in which `input` is the data of the message, such as `input.amount > 100`. It sees nothing of the run; to select by a value of the run use `key`.',
      },
      timeout: duration('How long to wait'),
    },
    ['message'],
  ),
})

const workflow = control('workflow', {
  title: 'Workflow',
  description:
    'Runs another workflow, or the nodes written here, as a child run; its output is the output. With `forEach` or `repeat` it is a loop over several steps.',
  icon: 'workflow',
  // The body is compiled as a graph of its own, and its expressions see the child's scope.
  fields: { '/nodes': 'raw', '/edges': 'raw', '/output': 'raw' },
  config: config(
    {
      workflow: { type: 'string', minLength: 1, description: '`name`, `name@tag` or `name@version`.' },
      input: { description: "The child's input. An inline body without it sees the input of its parent." },
      nodes: { type: 'object', description: 'The nodes of an inline body.' },
      output: { description: 'The output of an inline body.' },
    },
    [],
    { oneOf: [{ required: ['workflow'] }, { required: ['nodes'] }] },
  ),
})

const fail = control('fail', {
  title: 'Fail',
  description: 'Ends the run as `failed`.',
  icon: 'octagon-x',
  config: config(
    {
      message: { type: 'string', minLength: 1 },
      code: { type: 'string', minLength: 1, description: 'The code of the error; `failed` unless given.' },
      details: {},
    },
    ['message'],
  ),
})

const stop = control('stop', {
  title: 'Stop',
  description: 'Ends the run as `completed`, with this output; what else is running is told to stop.',
  icon: 'square',
  config: config({ output: {} }, []),
})

export const CONTROL_NODE_TYPES: readonly NodeTypeInfo[] = [
  branch,
  set,
  delay,
  approval,
  wait,
  workflow,
  fail,
  stop,
]
