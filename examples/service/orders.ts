/** A shop's orders. Each follows from its number alone; only `note` carries the nonce of this start. */
import { type Answer, type Call, numberOf, problem, type Route, route } from './call.ts'

export interface Order {
  id: string
  customer: string
  total: number
  currency: string
  /** 0 to 1. */
  risk: number
  items: { sku: string; name: string; quantity: number; price: number }[]
  note: string
}

const CUSTOMERS = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Leslie', 'Margaret', 'Tony']
const GOODS = [
  { sku: 'W-100', name: 'warp yarn', price: 12.5 },
  { sku: 'W-200', name: 'weft yarn', price: 9.9 },
  { sku: 'S-010', name: 'shuttle', price: 34 },
  { sku: 'H-400', name: 'heddle', price: 5.25 },
  { sku: 'L-900', name: 'table loom', price: 420 },
]

/** Spreads consecutive numbers over 0 to 2^32 (Knuth's multiplicative hash), so that orders differ and stay the same. */
const scatter = (number: number): number => Math.imul(number, 2_654_435_761) >>> 0

export function orderOf(number: number, nonce: string): Order {
  const seed = scatter(number)
  const items = Array.from({ length: 1 + (seed % 3) }, (_, index) => ({
    ...GOODS[(seed + index) % GOODS.length]!,
    quantity: 1 + ((seed >>> (index + 3)) % 4),
  }))
  const customer = CUSTOMERS[seed % CUSTOMERS.length]!
  return {
    id: `ord_${number}`,
    customer,
    total: cents(items.reduce((sum, { price, quantity }) => sum + price * quantity, 0)),
    currency: 'EUR',
    risk: ((seed >>> 8) % 101) / 100,
    items,
    note: `order ${number} of ${customer}, nonce ${nonce}`,
  }
}

const cents = (amount: number): number => Math.round(amount * 100) / 100

const DEFAULT_COUNT = 20

export function orderRoutes(nonce: string): Route[] {
  const list = (call: Call): Order[] =>
    Array.from({ length: numberOf(call, 'count', DEFAULT_COUNT, 10_000) }, (_, index) =>
      orderOf(index + 1, nonce),
    )

  const withOrder = (answer: (order: Order) => Answer): Route['answer'] => {
    return ({ params }) => {
      const number = /^(?:ord_)?([1-9]\d{0,8})$/.exec(params.id!)?.[1]
      if (number === undefined)
        return problem(404, `there is no order \`${params.id}\`; ids are ord_1, ord_2 …`)
      return answer(orderOf(Number(number), nonce))
    }
  }

  return [
    route('GET', '/orders', (call) => ({ body: list(call) })),
    route('GET', '/orders/summary', (call) => {
      const orders = list(call)
      const total = cents(orders.reduce((sum, order) => sum + order.total, 0))
      const risky = orders.filter((order) => order.risk > 0.7).length
      const text = `${orders.length} orders, ${risky} risky, ${total.toFixed(2)} EUR, nonce ${nonce}`
      return { body: { count: orders.length, risky, total, currency: 'EUR', nonce, text } }
    }),
    route(
      'GET',
      '/orders/:id',
      withOrder((order) => ({ body: order })),
    ),
    route(
      'POST',
      '/orders/:id/release',
      withOrder(({ id }) => ({ body: { id, status: 'released' } })),
    ),
    route(
      'POST',
      '/orders/:id/cancel',
      withOrder(({ id }) => ({ body: { id, status: 'cancelled' } })),
    ),
    route(
      'POST',
      '/orders/:id/cleanup',
      withOrder(({ id }) => ({ body: { id, status: 'clean' } })),
    ),
  ]
}
