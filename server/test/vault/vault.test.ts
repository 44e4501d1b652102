/** Stored credentials: what was put in comes out, under the right key alone. */
import { randomBytes } from 'node:crypto'
import type { JsonObject } from '@weft/engine'
import fc from 'fast-check'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { openStore } from '../../src/store/postgres.ts'
import type { Store } from '../../src/store/store.ts'
import { type MasterKeys, parseMasterKeys } from '../../src/vault/master-keys.ts'
import { seal, unseal } from '../../src/vault/sealing.ts'
import { CredentialUnreadable, Vault } from '../../src/vault/vault.ts'
import { type TestDatabase, testDatabase } from '../postgres.ts'

const clock = systemClock()
const newKey = (): string => randomBytes(32).toString('hex')
const keysOf = (...texts: string[]): MasterKeys => parseMasterKeys(texts.join(',')) as MasterKeys

describe('master keys', () => {
  it('are read in hexadecimal and base64, the same key under the same id', () => {
    const bytes = randomBytes(32)
    const forms = ['hex', 'base64', 'base64url'] as const
    const ids = forms.map((form) => keysOf(bytes.toString(form))[0].id)
    expect(new Set(ids).size).toBe(1)
    expect(keysOf(newKey())[0].id).not.toBe(ids[0])
  })

  it.each(['', ',', 'short', 'g'.repeat(64), `${'a'.repeat(64)},`.concat('b'), 'a'.repeat(63)])(
    'are refused when they are none: %s',
    (text) => expect(parseMasterKeys(text)).toBeNull(),
  )
})

describe('a sealed value', () => {
  const named = { workspace: 'w', name: 'n' }

  it('opens with its key and for its name, and otherwise not at all', () => {
    const [key, other] = keysOf(newKey(), newKey()) as unknown as [MasterKeys[0], MasterKeys[0]]
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.string()), fc.nat(), (given, place) => {
        const value = JSON.parse(JSON.stringify(given)) as JsonObject
        const sealed = seal(value, key, named, clock)
        expect(unseal(sealed, key, named)).toEqual(value)
        expect(unseal(sealed, other, named)).toBeNull()
        expect(unseal(sealed, key, { workspace: 'x', name: 'n' })).toBeNull()
        expect(unseal(sealed, key, { workspace: 'w', name: 'm' })).toBeNull()
        const changed = Buffer.from(sealed.sealed)
        const at = place % changed.length
        changed[at] = (changed[at] as number) ^ 1
        expect(unseal({ ...sealed, sealed: changed }, key, named)).toBeNull()
      }),
    )
  })

  it('is another ciphertext each time', () => {
    const [key] = keysOf(newKey())
    const texts = Array.from({ length: 50 }, () =>
      Buffer.from(seal({ token: 't' }, key, named, clock).sealed).toString('hex'),
    )
    expect(new Set(texts).size).toBe(50)
  })
})

describe('the vault', () => {
  let database: TestDatabase
  let store: Store
  beforeAll(async () => {
    database = await testDatabase()
    const log = pino({ level: 'silent' })
    store = await openStore({ url: database.url, clock, applicationName: 'vault', poolSize: 2, log })
  })
  afterAll(async () => {
    await store.close()
    await database.drop()
  })

  const vaultOf = (...keys: string[]): Vault => new Vault({ store, clock, keys: keysOf(...keys) })
  const fresh = (name = 'shop') => ({ workspace: clock.id(), name })

  it('creates once, rotates, deletes; a change counts at once in its own process', async () => {
    const vault = vaultOf(newKey())
    const named = fresh()
    expect(await vault.read(named)).toBeNull()
    expect(await vault.create(named, { token: 'one' })).toMatchObject({ name: 'shop' })
    expect(await vault.read(named)).toEqual({ token: 'one' })
    expect(await vault.create(named, { token: 'two' })).toBeNull()
    expect(await vault.read(named)).toEqual({ token: 'one' })
    await vault.rotate(named, { token: 'three' })
    expect(await vault.read(named)).toEqual({ token: 'three' })
    expect(await vault.delete(named)).toBe(true)
    expect(await vault.read(named)).toBeNull()
    expect(await vault.delete(named)).toBe(false)
    expect(await vault.rotate(named, { token: 'four' })).toBeNull()
  })

  it('does not keep what was read before a rotation and arrived after it', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const slow: Pick<Store, 'credentials'> = {
      credentials: {
        ...store.credentials,
        async get(request) {
          const found = await store.credentials.get(request)
          await held
          return found
        },
      },
    }
    const vault = new Vault({ store: slow, clock, keys: keysOf(newKey()) })
    const named = fresh()
    await vault.create(named, { token: 'old' })
    const early = vault.read(named)
    await store.ping()
    await vault.rotate(named, { token: 'new' })
    release()
    await early
    expect(await vault.read(named)).toEqual({ token: 'new' })
  })

  it('keeps workspaces apart', async () => {
    const vault = vaultOf(newKey())
    const [mine, theirs] = [fresh(), fresh()]
    await vault.create(mine, { token: 'mine' })
    expect(await vault.read(theirs)).toBeNull()
    expect(await vault.list(theirs.workspace)).toEqual([])
    expect(await vault.delete(theirs)).toBe(false)
    expect(await vault.read(mine)).toEqual({ token: 'mine' })
  })

  it('says which key is missing, and never answers garbage', async () => {
    const [right, wrong] = [newKey(), newKey()]
    const named = fresh()
    await vaultOf(right).create(named, { token: 'value' })
    const failure = await vaultOf(wrong)
      .read(named)
      .then(
        () => null,
        (error: Error) => error,
      )
    expect(failure).toBeInstanceOf(CredentialUnreadable)
    expect(failure?.message).toContain(keysOf(right)[0].id)
    expect(failure?.message).toContain(keysOf(wrong)[0].id)
    for (const key of [right, wrong]) expect(failure?.message).not.toContain(key)
    expect(await vaultOf(wrong).list(named.workspace)).toMatchObject([{ name: 'shop', readable: false }])
    expect(await vaultOf(right).list(named.workspace)).toMatchObject([{ name: 'shop', readable: true }])
    await vaultOf(wrong).rotate(named, { token: 'given again' })
    expect(await vaultOf(wrong).read(named)).toEqual({ token: 'given again' })
  })

  it('encrypts again under a new key, after which the old one is not needed', async () => {
    const [older, newer] = [newKey(), newKey()]
    const names = ['a', 'b', 'c'].map((name) => fresh(name))
    for (const named of names) await vaultOf(older).create(named, { token: named.name })
    const both = vaultOf(newer, older)
    expect(await both.read(names[0] as (typeof names)[0])).toEqual({ token: 'a' })
    const { unreadable } = await both.reseal()
    for (const named of names) {
      expect(unreadable).not.toContainEqual(named)
      expect(await vaultOf(newer).read(named)).toEqual({ token: named.name })
      await expect(vaultOf(older).read(named)).rejects.toThrow(CredentialUnreadable)
    }
    expect((await both.reseal()).count).toBe(0)
  })

  it('does not put an old value back when somebody rotates during the change of keys', async () => {
    const [older, newer] = [newKey(), newKey()]
    const named = fresh()
    await vaultOf(older).create(named, { token: 'old' })
    const during: Pick<Store, 'credentials'> = {
      credentials: {
        ...store.credentials,
        async sealedOtherwise(request) {
          const found = await store.credentials.sealedOtherwise(request)
          await vaultOf(older).rotate(named, { token: 'rotated' })
          return found
        },
      },
    }
    await new Vault({ store: during, clock, keys: keysOf(newer, older) }).reseal()
    expect(await vaultOf(newer, older).read(named)).toEqual({ token: 'rotated' })
  })
})
