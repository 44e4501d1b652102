import { InvalidError } from '@weft/engine'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { CredentialUnreadable } from '../../src/vault/vault.ts'
import { allCredentials, environmentCredentials } from '../../src/worker/credentials.ts'

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

describe('credentials of an attempt', () => {
  const environment = environmentCredentials({ TEAM: '{"token":"outside"}' })

  it('come from the environment first, then from the workspace', async () => {
    const vault = {
      read: async ({ name }: { name: string }) => (name === 'none' ? null : { token: 'stored' }),
    }
    const source = allCredentials(environment, vault, systemClock())
    expect(await source.get('default', 'team')).toEqual({ token: 'outside' })
    expect(await source.get('default', 'shop')).toEqual({ token: 'stored' })
    expect(await source.get('default', 'none')).toBeNull()
    expect(source.howToSet('none')).toContain('weft credentials create none')
  })

  it('are asked for once when they cannot be decrypted, and again when the database is away', async () => {
    let asked = 0
    const locked = allCredentials(
      environment,
      {
        read: async () => {
          asked++
          throw new CredentialUnreadable('the key is missing')
        },
      },
      systemClock(),
    )
    await expect(locked.get('default', 'shop')).rejects.toMatchObject({
      code: 'credential_unreadable',
      retryable: false,
      message: 'the key is missing',
    })
    expect(asked).toBe(1)
    const flaky = allCredentials(
      environment,
      {
        read: async () => {
          if (asked++ < 2) throw new Error('away')
          return { token: 'stored' }
        },
      },
      systemClock(),
    )
    expect(await flaky.get('default', 'shop')).toEqual({ token: 'stored' })
  })
})
