/** A node type of this shop: the price of a parcel, by weight and country. */
import { defineNode, NodeError, result, z } from '@weft/server/nodes'

const GRAMS: Readonly<Record<string, number>> = {
  'W-100': 120,
  'W-200': 100,
  'S-010': 350,
  'H-400': 60,
  'L-900': 9_000,
}
const CENTS_PER_KILOGRAM: Readonly<Record<string, number>> = { DE: 310, FR: 420 }
const LETTER_BOX_GRAMS = 1_000

export const parcelPrice = defineNode({
  type: 'parcel.price',
  title: 'Price of a parcel',
  description: 'Weighs what is ordered and says what the parcel costs; labels it `small` or `bulky`.',
  icon: 'package',
  config: z.strictObject({
    items: z.array(z.object({ sku: z.string(), quantity: z.number().int().positive() })),
    country: z.string().length(2),
  }),
  output: z.object({ grams: z.number(), price: z.number() }),
  labels: ['small', 'bulky'],
  success: ['small', 'bulky'],
  // Computed from the config alone: whoever lost an attempt may simply make another.
  effect: 'pure',
  retry: 'off',
  async run({ items, country }) {
    const rate = CENTS_PER_KILOGRAM[country]
    if (rate === undefined) {
      const served = Object.keys(CENTS_PER_KILOGRAM).join(', ')
      throw new NodeError('no_carrier', `No carrier delivers to ${country}; served are ${served}.`, {
        retryable: false,
      })
    }
    const grams = items.reduce((sum, { sku, quantity }) => sum + (GRAMS[sku] ?? 0) * quantity, 0)
    const price = Math.round((grams / 1_000) * rate) / 100
    return result({ grams, price }, grams > LETTER_BOX_GRAMS ? 'bulky' : 'small')
  },
})
