/**
 * Every spelling of a definition that is accepted, as a zod schema: the source of the shape check in `workflow.ts` and of
 * the JSON Schema with which editors complete definitions.
 *
 * Keys that begin with `x-` are allowed in every map of the definition itself, and `null` stands for an absent value, as
 * an empty key in YAML does; neither is visible in the zod types.
 */
import { z } from 'zod'
import { DURATION_FORMS } from './duration.ts'
import type { JsonObject } from './json.ts'

export const ID_PATTERN = /^[a-z][a-z0-9_]{0,62}$/
/** No `@` and no `/`: those separate tags and inline bodies from names. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/

const text = (description: string) => z.string({ error: 'text' }).describe(description)
const json = (description: string) => z.unknown().describe(description)
const count = (description: string, least = 0) =>
  z.number({ error: 'a number' }).int('a whole number').min(least).describe(description)
const map = (description: string) =>
  z.record(z.string(), z.unknown(), { error: 'a map' }).describe(description)
const choice = <const Names extends readonly [string, ...string[]]>(names: Names, description: string) =>
  z.enum(names).describe(description)

const duration = (description: string) =>
  z
    .union([z.string(), z.number()], { error: `a duration (${DURATION_FORMS})` })
    .describe(`${description} (${DURATION_FORMS}).`)

const condition = (description: string) =>
  z.union([z.string(), z.boolean()], { error: 'an expression' }).describe(description)

const outcomes = z
  .union([z.string(), z.array(z.string()).min(1)], { error: 'an outcome or a list of outcomes' })
  .describe('`success`, `failure`, `skipped`, `always`, or a label that the node emits.')

const edgeWhen = condition(
  'Bare expression, or `else`: taken when no other conditional edge of the source was.',
)

const need = z
  .union(
    [
      z.string(),
      z.array(z.string()).min(1),
      z.strictObject({ on: outcomes.optional(), when: edgeWhen.optional() }),
    ],
    {
      error: 'an outcome, a list of outcomes, or a map with `on` and `when`',
    },
  )
  .describe('When the edge is taken; `success` unless said otherwise.')

const needs = z
  .union([z.string(), z.array(z.string()), z.record(z.string(), need)], {
    error: 'the id of a node, a list of ids, or a map from id to outcome',
  })
  .describe('The nodes before this one: an id, a list of ids, or a map from id to outcome.')

const retry = z
  .union(
    [
      z.literal('off'),
      z.literal(false),
      count('Attempts in all, the first included.', 1).max(1000),
      z.strictObject({
        attempts: count('Attempts in all, the first included.', 1).max(1000),
        delay: duration('Pause before the second attempt').optional(),
        factor: z
          .number()
          .min(1)
          .max(100)
          .describe('Each pause is this many times the one before.')
          .optional(),
        maxDelay: duration('Longest pause').optional(),
      }),
    ],
    { error: '`off`, a number of attempts, or a map with `attempts`, `delay`, `factor`, `maxDelay`' },
  )
  .describe('How often a failed attempt is tried again.')

const forEach = z
  .union(
    [
      z.string(),
      z.array(z.unknown()),
      z.strictObject({
        items: z.union([z.string(), z.array(z.unknown())], {
          error: 'an expression that yields a list, or a list',
        }),
        maxConcurrency: count('Items performed at a time.', 1).optional(),
        onItemError: choice(
          ['fail', 'collect'],
          'Whether a failed item fails the step, or its output is null.',
        ).optional(),
      }),
    ],
    { error: 'an expression that yields a list, a list, or a map with `items`' },
  )
  .describe('Performs the node once per item; `item` and `index` are in scope.')

const repeat = z
  .strictObject(
    {
      until: condition(
        'Bare expression, evaluated after each round; the own output is `steps.<id>.output`.',
      ).optional(),
      maxIterations: count('Most rounds.', 1).optional(),
      delay: duration('Pause between rounds').optional(),
    },
    { error: 'a map with `until`, `maxIterations`, `delay`' },
  )
  .describe('Performs the node again until a condition holds.')

const nodeShape = {
  type: text('The node type, such as `http`.').min(1),
  name: text('Shown instead of the id.').optional(),
  notes: text('For whoever reads this.').optional(),
  needs: needs.optional(),
  with: map("The node type's own config.").optional(),
  credential: text('Name of the credential that the node uses.').min(1).optional(),
  credentials: z
    .record(z.string(), z.string().min(1), { error: 'a map from role to name' })
    .describe('Role to name.')
    .optional(),
  when: condition('Bare expression; the node is skipped when it is false.').optional(),
  retry: retry.optional(),
  timeout: duration('Longest time of one attempt').optional(),
  forEach: forEach.optional(),
  repeat: repeat.optional(),
  onError: choice(['fail', 'continue'], 'Whether the run fails when this node did for good.').optional(),
  join: choice(
    ['all', 'any'],
    'Whether the node starts when all edges into it are decided, or at the first taken.',
  ).optional(),
}

const node = z.strictObject(nodeShape, { error: 'a map with `type`' })
const listedNode = z.strictObject(
  { id: text('The id of the node.'), ...nodeShape },
  { error: 'a map with `id` and `type`' },
)

const nodes = z
  .union([z.record(z.string().regex(ID_PATTERN), node), z.array(listedNode)], {
    error: 'a map from id to node, or a list of nodes with `id`',
  })
  .describe('The nodes, by id.')

const edges = z
  .array(
    z.strictObject(
      { from: text('Source.'), to: text('Target.'), on: outcomes.optional(), when: edgeWhen.optional() },
      { error: 'a map with `from` and `to`' },
    ),
    { error: 'a list of edges' },
  )
  .describe('Edges of the list form; in the map form edges are the `needs` of their target.')

const policy = choice(['auto', 'review', 'deny'], 'Applied at once, after a review, or never.')

export const definitionSchema = z
  .strictObject(
    {
      weft: z
        .literal(1, { error: '1, the version of the definition format' })
        .describe('Version of the format.')
        .optional(),
      name: z
        .string({ error: 'text' })
        .regex(NAME_PATTERN, 'letters, digits, `_`, `.` and `-`, at most 128 of them')
        .describe('Name of the workflow.')
        .optional(),
      description: text('What the workflow is for.').optional(),
      input: map("JSON Schema of the run's input; defaults are applied.").optional(),
      nodes,
      edges: edges.optional(),
      output: json("The run's output, with expressions.").optional(),
      limits: z
        .strictObject(
          {
            agents: count('Agent steps that may be started.').optional(),
            steps: count('Steps and items that may be started.', 1).optional(),
            events: count('Events that the log of the run may hold.', 1).optional(),
            patches: count('Patches that the run may take.').optional(),
            nodes: count('Nodes that the graph may have.', 1).max(100_000).optional(),
            tokens: count('Tokens that agents may spend.').optional(),
            cost: z
              .number({ error: 'a number' })
              .min(0)
              .describe('What agents may cost, in US dollars.')
              .optional(),
            duration: duration('Longest time of the run').optional(),
          },
          { error: 'a map' },
        )
        .optional(),
      patches: z
        .strictObject(
          {
            agent: policy
              .describe(
                'Patches by agents. Without it those are reviewed that add something which writes, a host, a credential, an agent, or the start of another workflow.',
              )
              .optional(),
            api: policy.describe('Patches by people and programs; applied at once without it.').optional(),
            hosts: z
              .array(text('A host: `api.example.com`, `*.example.com`, or `*`.'), {
                error: 'a list of hosts',
              })
              .describe('The only hosts that a patch may bring in; an agent may without review.')
              .optional(),
            credentials: z
              .array(text('Name of a credential.'), { error: 'a list of names' })
              .describe('The only credentials that a patch may bring in; an agent may without review.')
              .optional(),
          },
          { error: 'a map with `agent`, `api`, `hosts` and `credentials`' },
        )
        .describe('Who may patch a run of this workflow, and what a patch may bring in.')
        .optional(),
      unknownTypes: choice(['error', 'skip'], 'What becomes of a node whose type is not known.').optional(),
      onFailure: text(
        'Stored workflow (`name`, `name@tag` or `name@version`) to start when a run of this one failed. Its input is `{ run, error, steps }`: the failed run, why it failed, and its failed steps. A child’s failure is left to its parent, and a run that was started so starts no other.',
      ).optional(),
      labels: z
        .record(z.string(), z.union([z.string(), z.number(), z.boolean()], { error: 'text' }), {
          error: 'a map of texts',
        })
        .describe('For filters; outside of the hash.')
        .optional(),
      ui: json('Positions and sticky notes; outside of the hash.').optional(),
    },
    { error: 'a map with `nodes`' },
  )
  .describe('A Weft workflow.')

/** `with` of a `workflow` node that holds its body; `input` is a value here, not a schema. */
export const bodySchema = z.strictObject(
  { nodes, edges: edges.optional(), output: z.unknown().optional(), input: z.unknown().optional() },
  { error: 'a map with `nodes`' },
)

/** Keys that mean something later: `cache` and `concurrency` on nodes and on the whole. */
export const RESERVED_KEYS: ReadonlySet<string> = new Set(['cache', 'concurrency'])

let published: JsonObject | undefined

/** JSON Schema (2020-12) of every accepted spelling, for editors. */
export function workflowJsonSchema(): JsonObject {
  published ??= {
    $id: 'urn:weft:workflow:1',
    title: 'Weft workflow',
    ...(z.toJSONSchema(definitionSchema, {
      io: 'input',
      override: ({ jsonSchema }) => {
        if (jsonSchema.type === 'object' && jsonSchema.additionalProperties === false) {
          jsonSchema.patternProperties = { '^x-': {} }
        }
      },
    }) as JsonObject),
  }
  return published
}
