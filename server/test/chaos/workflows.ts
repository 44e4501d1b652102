/**
 * The mix of runs under which Weft is killed: retries, delays, rounds, forEach, joins, children, approvals, messages,
 * failures. Each says beforehand how its runs end, whatever happens meanwhile.
 *
 * Outputs hold nothing that a repeated call would change (the flaky endpoint counts its calls).
 */
import type { JsonObject } from '@weft/engine'
import type { Random } from '../random.ts'

export interface Ending {
  readonly status: 'completed' | 'failed'
  readonly output: unknown
}

export interface Load {
  readonly name: string
  readonly definition: JsonObject
  /** What a run of it ends as, from its input. */
  ending(input: LoadInput): Ending
  /** How people decide the approvals of a run. */
  readonly decision?: (input: LoadInput) => 'approve' | 'reject'
  /** The message that a run waits for. */
  readonly message?: (input: LoadInput) => {
    readonly name: string
    readonly key: string
    readonly data: JsonObject
  }
}

export interface LoadInput extends JsonObject {
  /** Number of the run. */
  n: number
  service: string
  /** How long the outside world takes for one call. */
  ms: number
}

export const inputOf = (n: number, service: string, random: Random): LoadInput => ({
  n,
  service,
  ms: random.between(100, 600),
})

const call = (name: string, rest: JsonObject = {}): JsonObject => ({
  type: 'http',
  with: { method: 'POST', url: `\${{ input.service + '/work/${name}?ms=' + input.ms }}` },
  ...rest,
})

const workflow = (name: string, nodes: JsonObject, rest: JsonObject = {}): JsonObject => ({
  weft: 1,
  name,
  nodes,
  ...rest,
})

const completed = (output: unknown): Ending => ({ status: 'completed', output })

export const LOADS: readonly Load[] = [
  {
    name: 'diamond',
    definition: workflow(
      'diamond',
      {
        top: call('top'),
        left: call('left', { needs: 'top' }),
        right: call('right', { needs: 'top' }),
        bottom: call('bottom', { needs: ['left', 'right'] }),
      },
      {
        output: {
          n: '${{ input.n }}',
          saw: '${{ [steps.left.output.body.name, steps.right.output.body.name, steps.bottom.output.body.name] }}',
        },
      },
    ),
    ending: ({ n }) => completed({ n, saw: ['left', 'right', 'bottom'] }),
  },
  {
    name: 'flaky',
    definition: workflow(
      'flaky',
      {
        ask: {
          type: 'http',
          with: { url: "${{ input.service + '/flaky/ask?fail=2' }}" },
          retry: { attempts: 8, delay: '100ms', maxDelay: '400ms' },
        },
        after: call('after', { needs: 'ask' }),
      },
      { output: { ok: '${{ steps.ask.output.body.ok }}', after: '${{ steps.after.output.body.name }}' } },
    ),
    ending: () => completed({ ok: true, after: 'after' }),
  },
  {
    name: 'fan',
    definition: workflow(
      'fan',
      {
        list: { type: 'set', with: { numbers: '${{ [1, 2, 3, 4, 5, 6, 7, 8].map(x, x * input.n) }}' } },
        each: {
          type: 'http',
          needs: 'list',
          forEach: { items: 'steps.list.output.numbers', maxConcurrency: 4 },
          with: {
            method: 'POST',
            url: "${{ input.service + '/work/item-' + item + '?ms=' + input.ms }}",
          },
        },
        sum: {
          type: 'set',
          needs: 'each',
          with: { names: '${{ steps.each.output.map(one, one.body.name) }}' },
        },
      },
      { output: '${{ steps.sum.output.names }}' },
    ),
    ending: ({ n }) => completed([1, 2, 3, 4, 5, 6, 7, 8].map((x) => `item-${x * n}`)),
  },
  {
    name: 'later',
    definition: workflow(
      'later',
      {
        first: call('first'),
        pause: { type: 'delay', needs: 'first', with: { for: '700ms' } },
        second: call('second', { needs: 'pause' }),
      },
      { output: '${{ steps.second.output.body.name }}' },
    ),
    ending: () => completed('second'),
  },
  {
    name: 'rounds',
    definition: workflow(
      'rounds',
      {
        poll: call('poll', { repeat: { maxIterations: 3, delay: '100ms' } }),
        done: call('done', { needs: 'poll' }),
      },
      { output: '${{ steps.done.output.body.name }}' },
    ),
    ending: () => completed('done'),
  },
  {
    name: 'family',
    definition: workflow(
      'family',
      {
        children: {
          type: 'workflow',
          forEach: '[10, 20, 30]',
          with: {
            nodes: {
              work: {
                type: 'http',
                with: {
                  method: 'POST',
                  url: "${{ input.service + '/work/child-' + item + '?ms=' + input.ms }}",
                },
              },
              pause: { type: 'delay', needs: 'work', with: { for: '200ms' } },
              more: call('more', { needs: 'pause' }),
            },
            output: '${{ steps.work.output.body.name }}',
          },
        },
        parent: call('parent', { needs: 'children' }),
      },
      {
        output: { children: '${{ steps.children.output }}', parent: '${{ steps.parent.output.body.name }}' },
      },
    ),
    ending: () => completed({ children: ['child-10', 'child-20', 'child-30'], parent: 'parent' }),
  },
  {
    name: 'sign_off',
    definition: workflow(
      'sign_off',
      {
        prepare: call('prepare'),
        person: { type: 'approval', needs: 'prepare', with: { title: 'Release ${{ input.n }}?' } },
        release: call('release', { needs: { person: 'approved' } }),
        refuse: call('refuse', { needs: { person: 'rejected' } }),
      },
      { output: '${{ default(steps.release.output.body.name, steps.refuse.output.body.name) }}' },
    ),
    decision: ({ n }) => (n % 3 === 0 ? 'reject' : 'approve'),
    ending: ({ n }) => completed(n % 3 === 0 ? 'refuse' : 'release'),
  },
  {
    name: 'mail',
    definition: workflow(
      'mail',
      {
        before: call('before'),
        payment: {
          type: 'wait',
          needs: 'before',
          with: { message: 'paid', key: "${{ 'order-' + input.n }}" },
        },
        after: call('after', { needs: 'payment' }),
      },
      {
        output: {
          amount: '${{ steps.payment.output.amount }}',
          after: '${{ steps.after.output.body.name }}',
        },
      },
    ),
    message: ({ n }) => ({ name: 'paid', key: `order-${n}`, data: { amount: n * 2 } }),
    ending: ({ n }) => completed({ amount: n * 2, after: 'after' }),
  },
  {
    name: 'first_wins',
    definition: workflow(
      'first_wins',
      {
        hare: call('hare'),
        tortoise: { type: 'delay', with: { for: '900ms' } },
        finish: call('finish', { needs: ['hare', 'tortoise'], join: 'any' }),
      },
      { output: '${{ steps.finish.output.body.name }}' },
    ),
    ending: () => completed('finish'),
  },
  {
    name: 'handled',
    definition: workflow(
      'handled',
      {
        broken: {
          type: 'http',
          with: { url: "${{ input.service + '/status/500' }}" },
          retry: { attempts: 3, delay: '100ms' },
        },
        never: call('never', { needs: 'broken' }),
        cleanup: call('cleanup', { needs: { broken: 'failure' } }),
      },
      { output: '${{ steps.cleanup.output.body.name }}' },
    ),
    ending: () => completed('cleanup'),
  },
  {
    name: 'fails',
    definition: workflow('fails', {
      first: call('first'),
      broken: { type: 'http', needs: 'first', with: { url: "${{ input.service + '/status/404' }}" } },
      never: call('never', { needs: 'broken' }),
    }),
    ending: () => ({ status: 'failed', output: null }),
  },
]

/** One call: most of a load that asks for many runs a second. */
export const BRIEF: Load = {
  name: 'brief',
  definition: workflow('brief', { only: call('only') }, { output: '${{ steps.only.output.body.name }}' }),
  ending: () => completed('only'),
}
