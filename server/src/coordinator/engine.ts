/** The pure engine as the coordinator uses it. A parameter, so that tests can make it fail. */
import { decide, fold, nextWake, outstanding, owesWork, start, statusOf } from '@weft/engine'

export const ENGINE = { start, fold, decide, outstanding, nextWake, owesWork, statusOf } as const

export type Engine = typeof ENGINE
