/** What PostgreSQL says, as what the caller can do about it. */
import { describe, expect, it } from 'vitest'
import { translate } from '../../src/store/failure.ts'
import { AppendConflict, RowRefused, SessionLost, StoreError } from '../../src/store/store.ts'

const driverError = (code: string, message = 'it says so') => Object.assign(new Error(message), { code })

describe('errors of the database', () => {
  it.each([
    ['53100', 'database_disk_full', true],
    ['57P01', 'database_unavailable', true],
    ['57P03', 'database_unavailable', true],
    ['08006', 'database_unavailable', true],
    ['ECONNREFUSED', 'database_unavailable', true],
    ['53300', 'database_unavailable', true],
    ['25006', 'database_unavailable', true],
    ['40P01', 'database_busy', true],
    ['53200', 'database_busy', true],
    ['42501', 'database_refused', false],
  ])('%s is %s', (code, name, retryable) => {
    const failure = translate(driverError(code))
    expect(failure).toBeInstanceOf(StoreError)
    expect(failure).toMatchObject({ code: name, retryable })
  })

  it.each(['22P05', '22021', '23502', '54001'])('%s blames a value', (code) => {
    expect(translate(driverError(code))).toBeInstanceOf(RowRefused)
    expect(translate(driverError(code))).toMatchObject({ sqlState: code })
  })

  it.each(['Connection terminated unexpectedly', 'timeout exceeded when trying to connect'])(
    'a driver that says "%s" has lost the database',
    (message) => {
      expect(translate(new Error(message))).toMatchObject({ code: 'database_unavailable' })
    },
  )

  it('finds the cause in what a query builder wraps around it, without the values of the query', () => {
    const wrapped = new Error('Failed query: insert … params: s3cret', {
      cause: driverError('53100', 'no space'),
    })
    const failure = translate(wrapped) as StoreError
    expect(failure.code).toBe('database_disk_full')
    expect(failure.message).toContain('no space')
    expect(failure.message).not.toContain('s3cret')
  })

  it('leaves errors of the contract and of the program as they are', () => {
    for (const error of [
      new SessionLost('Connection terminated unexpectedly'),
      new AppendConflict('run', 'taken'),
      new TypeError('a bug'),
    ]) {
      expect(translate(error)).toBe(error)
    }
  })
})
