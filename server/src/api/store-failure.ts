/**
 * What a failed call of the store means for the caller: refused for certain, or outcome unknown.
 */
import { RowRefused, StoreError } from '../store/store.ts'
import { ApiError } from './errors.ts'

export interface StoreFailure {
  /** A write that was under way may or may not have happened. */
  readonly outcomeUnknown: boolean
  readonly error: unknown
}

export function storeFailure(error: unknown): StoreFailure {
  if (error instanceof RowRefused) {
    const detail = `The database cannot keep a value of this request: ${error.message}. Nothing was stored; change the value.`
    return { outcomeUnknown: false, error: ApiError.of('invalid_request', detail, { cause: error }) }
  }
  if (!(error instanceof StoreError)) return { outcomeUnknown: false, error }
  switch (error.code) {
    case 'database_unavailable':
      return {
        outcomeUnknown: true,
        error: ApiError.of(
          'store_unavailable',
          `${error.message} Try again in a few seconds, and see GET /readyz.`,
          {
            headers: { 'retry-after': '5' },
            cause: error,
          },
        ),
      }
    case 'database_disk_full':
      return {
        outcomeUnknown: false,
        error: ApiError.of('disk_full', error.message, { headers: { 'retry-after': '30' }, cause: error }),
      }
    case 'database_busy':
      return {
        outcomeUnknown: false,
        error: ApiError.of('store_busy', error.message, { headers: { 'retry-after': '1' }, cause: error }),
      }
    default:
      return { outcomeUnknown: false, error }
  }
}
