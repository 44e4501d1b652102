import { InvalidError } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import { environmentCredentials } from '../../src/worker/credentials.ts'

describe('credentials from the environment', () => {
  it('are found by the name that workflows use', () => {
    const source = environmentCredentials({
      WEFT_CREDENTIAL_SHOP_API: '{"token":"a"}',
      TEAM: '{"token":"b"}',
    })
    for (const name of ['shop_api', 'shop-api', 'Shop.API'])
      expect(source.get('default', name)).toEqual({ token: 'a' })
    expect(source.get('default', 'team')).toEqual({ token: 'b' })
    expect(source.get('default', 'other')).toBeNull()
  })

  it('are refused all at once when they are no JSON objects, without showing a value', () => {
    const open = (): unknown => environmentCredentials({ A: 'secret-token', B: '["secret"]', C: '{}' })
    expect(open).toThrow(InvalidError)
    try {
      open()
    } catch (error) {
      expect((error as InvalidError).problems.map(({ pointer }) => pointer)).toEqual([
        'WEFT_CREDENTIAL_A',
        'WEFT_CREDENTIAL_B',
      ])
      expect((error as Error).message).not.toContain('secret')
    }
  })
})
