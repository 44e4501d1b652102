/**
 * Stored credentials: the one place where their values are encrypted and decrypted (R14).
 *
 * 1. A value goes in through `create` and `rotate`, and comes out through `read` alone, which only workers call.
 * 2. What is decrypted is kept for seconds, and forgotten at once when this process changes it. A read that began before
 *    a change is not kept.
 * 3. A key that is missing or wrong is an error with a sentence, never a wrong value.
 */
import { createHmac } from 'node:crypto'
import { canonicalJson, type JsonObject } from '@weft/engine'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { CredentialRow, SealedCredential, Store } from '../store/store.ts'
import type { MasterKeys } from './master-keys.ts'
import { type CredentialName, seal, unseal } from './sealing.ts'

/** How long another process's rotation may go unnoticed. */
const KEPT_MS = 10_000
const KEPT_CREDENTIALS = 1_000

export interface VaultParts {
  readonly store: Pick<Store, 'credentials'>
  readonly clock: Clock
  readonly keys: MasterKeys
}

export interface ListedCredential extends CredentialRow {
  /** This server has the master key under which it is encrypted. */
  readonly readable: boolean
}

/** What `reseal` found at the start. */
export interface Resealed {
  /** Encrypted again, under the first key. */
  readonly count: number
  /** Encrypted under keys that this server does not have, or damaged. */
  readonly unreadable: readonly CredentialName[]
}

export class CredentialUnreadable extends Error {
  override readonly name = 'CredentialUnreadable'
}

export class Vault {
  readonly #store: Pick<Store, 'credentials'>
  readonly #clock: Clock
  readonly #keys: MasterKeys
  readonly #kept = new LRUCache<string, { value: JsonObject | null; until: number }>({
    max: KEPT_CREDENTIALS,
  })
  /** Grows with every change that this process makes. */
  #changes = 0

  constructor({ store, clock, keys }: VaultParts) {
    this.#store = store
    this.#clock = clock
    this.#keys = keys
  }

  /** `null`: a credential of that name exists. */
  async create(named: CredentialName, value: JsonObject): Promise<CredentialRow | null> {
    const sealed = seal(value, this.#keys[0], named, this.#clock)
    const at = this.#now()
    try {
      const created = await this.#store.credentials.create({ ...named, sealed, at })
      return created ? { name: named.name, keyId: sealed.keyId, createdAt: at, rotatedAt: at } : null
    } finally {
      this.#forget(named)
    }
  }

  /** `null`: there is no credential of that name. */
  async rotate(named: CredentialName, value: JsonObject): Promise<CredentialRow | null> {
    const sealed = seal(value, this.#keys[0], named, this.#clock)
    const at = this.#now()
    try {
      const row = await this.#store.credentials.rotate({ ...named, sealed, at })
      return row && { name: named.name, keyId: sealed.keyId, createdAt: row.createdAt, rotatedAt: at }
    } finally {
      this.#forget(named)
    }
  }

  async delete(named: CredentialName): Promise<boolean> {
    try {
      return await this.#store.credentials.delete(named)
    } finally {
      this.#forget(named)
    }
  }

  async list(workspace: string): Promise<ListedCredential[]> {
    const rows = await this.#store.credentials.list({ workspace })
    return rows.map((row) => ({ ...row, readable: this.#keys.some(({ id }) => id === row.keyId) }))
  }

  /** The value; `null` when there is none of that name. Throws `CredentialUnreadable`. */
  async read(named: CredentialName): Promise<JsonObject | null> {
    const place = placeOf(named)
    const kept = this.#kept.get(place)
    if (kept !== undefined && kept.until > this.#clock.monotonic()) return kept.value
    const changes = this.#changes
    const sealed = await this.#store.credentials.get(named)
    const value = sealed === null ? null : this.#open(sealed, named)
    if (changes === this.#changes) this.#kept.set(place, { value, until: this.#clock.monotonic() + KEPT_MS })
    return value
  }

  /** Encrypts under the first key what is still encrypted under another one. May be repeated, and called at once. */
  async reseal(): Promise<Resealed> {
    const [key] = this.#keys
    let count = 0
    const unreadable: CredentialName[] = []
    for (const row of await this.#store.credentials.sealedOtherwise({ keyId: key.id })) {
      const named = { workspace: row.workspace, name: row.name }
      const old = this.#keys.find(({ id }) => id === row.keyId)
      const value = old === undefined ? null : unseal(row, old, named)
      if (value === null) unreadable.push(named)
      // Refused when somebody rotated it meanwhile, which encrypts it under the first key as well.
      else if (
        await this.#store.credentials.reseal({
          ...named,
          before: row.nonce,
          sealed: seal(value, key, named, this.#clock),
        })
      )
        count++
    }
    return { count, unreadable }
  }

  /** Names a value without telling it: for comparing requests that carry one. */
  fingerprint(value: JsonObject): string {
    return createHmac('sha256', this.#keys[0].bytes)
      .update(`weft: fingerprint\n${canonicalJson(value)}`)
      .digest('hex')
  }

  #open(sealed: SealedCredential, named: CredentialName): JsonObject {
    const key = this.#keys.find(({ id }) => id === sealed.keyId)
    if (key === undefined) {
      throw new CredentialUnreadable(
        `The credential \`${named.name}\` is encrypted under the master key ${sealed.keyId}, and this server has ${this.#keys.map(({ id }) => id).join(', ')}. Start Weft with that key behind the new one (WEFT_MASTER_KEY=<new>,<old>), or give the credential its value again: weft credentials rotate ${named.name}.`,
      )
    }
    const value = unseal(sealed, key, named)
    if (value !== null) return value
    throw new CredentialUnreadable(
      `The credential \`${named.name}\` was changed in the database by something other than Weft: it does not open with the master key ${key.id} that it names. Give it its value again: weft credentials rotate ${named.name}.`,
    )
  }

  #forget(named: CredentialName): void {
    this.#changes++
    this.#kept.delete(placeOf(named))
  }

  #now(): number {
    return Math.round(this.#clock.now())
  }
}

const placeOf = ({ workspace, name }: CredentialName): string => JSON.stringify([workspace, name])
