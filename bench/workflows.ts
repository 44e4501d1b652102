/** The definitions that are measured, each stored once by the API before it is run. */
import type { JsonObject } from '@weft/engine'

const workflow = (name: string, nodes: JsonObject, rest: JsonObject = {}): JsonObject => ({
  weft: 1,
  name,
  nodes,
  ...rest,
})

/** One step that the engine performs itself: what is measured is the way in. */
export const SUBMIT = workflow('submit', { only: { type: 'set', with: { order: '${{ input.order }}' } } })

/** Three `log` tasks; each reads what the one before it said. */
export const CHAIN3 = workflow('chain3', {
  first: { type: 'log', with: { message: 'order ${{ input.order }}' } },
  second: { type: 'log', needs: 'first', with: { message: '${{ steps.first.output.message }}, checked' } },
  third: { type: 'log', needs: 'second', with: { message: '${{ steps.second.output.message }}, sent' } },
})

export const FANOUT_ITEMS = 1_000

/** 1 → 1,000 → 1. */
export const FANOUT = workflow('fanout1000', {
  list: { type: 'log', with: { message: 'list' } },
  each: {
    type: 'log',
    needs: 'list',
    forEach: { items: 'input.items', maxConcurrency: FANOUT_ITEMS },
    with: { message: 'item ${{ item }}' },
  },
  join: { type: 'log', needs: 'each', with: { message: 'all ${{ size(steps.each.output) }}' } },
})

/** `layers` × `width` tasks; each needs two of the layer before. */
export function layered(name: string, layers: number, width: number): JsonObject {
  const nodes: JsonObject = {}
  for (let layer = 0; layer < layers; layer++) {
    for (let index = 0; index < width; index++) {
      const parents = [...new Set([index, (index + 1) % width])].map((parent) => `n${layer - 1}_${parent}`)
      nodes[`n${layer}_${index}`] = {
        type: 'log',
        with: { message: 'step' },
        ...(layer === 0 ? {} : { needs: parents }),
      }
    }
  }
  return workflow(name, nodes)
}

export const HTTP_STEPS = 10

/** Ten calls that do not wait for each other. */
export const HTTP = workflow(
  'http',
  Object.fromEntries(
    Array.from({ length: HTTP_STEPS }, (_, index) => [
      `call_${index}`,
      { type: 'http', with: { url: "${{ input.target + '/orders/' + input.order }}" }, retry: 'off' },
    ]),
  ),
)

export const APPROVAL = workflow('waiting', {
  person: { type: 'approval', with: { title: 'Release ${{ input.order }}?' } },
  released: { type: 'log', needs: 'person', with: { message: 'released' } },
})

export const LIVE_ITEMS = 100

/** Waits until everybody watches, then says a lot. */
export const LIVE = workflow('live', {
  go: { type: 'wait', with: { message: 'go' } },
  each: {
    type: 'log',
    needs: 'go',
    forEach: { items: 'input.items', maxConcurrency: 20 },
    with: { message: 'item ${{ item }}' },
  },
})
