/** Who calls: the key of the request and its role. Keys are known by their SHA-256 only. */
import { hash } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { Store } from '../store/store.ts'
import type { Principal } from './call.ts'
import { ApiError } from './errors.ts'
import { ROLES, type Role, WORKER_ROLE } from './schemas.ts'

/** A revoked or changed key counts at most this long. */
const KEY_CACHE_MS = 10_000
const CACHED_KEYS = 1_000

/** What the store keeps of a key. */
export const hashApiKey = (key: string): string => hash('sha256', key, 'hex')

export class Keys {
  readonly #store: Store
  readonly #clock: Clock
  readonly #known: LRUCache<string, { principal: Principal; expiresAt: number | null; until: number }>

  constructor(parts: { store: Store; clock: Clock }) {
    this.#store = parts.store
    this.#clock = parts.clock
    this.#known = new LRUCache({ max: CACHED_KEYS })
  }

  /** Throws `unauthorized`. Waits for the database only when the key was not seen for a while. */
  principal(authorization: string | undefined): Principal | Promise<Principal> {
    const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1]
    if (token === undefined)
      throw unauthorized(
        authorization === undefined
          ? 'The request carries no API key'
          : 'The Authorization header is not of the form `Bearer <key>`',
      )
    const hashed = hashApiKey(token)
    const known = this.#known.get(hashed)
    if (known && known.until > this.#clock.monotonic()) return this.#unlessExpired(known)
    return this.#look(hashed)
  }

  async #look(hashed: string): Promise<Principal> {
    const key = await this.#store.keys.find(hashed)
    if (!key) throw unauthorized('This server does not know the API key')
    const role = [...ROLES, WORKER_ROLE].find((name) => name === key.role) as Principal['role'] | undefined
    if (!role)
      throw ApiError.of(
        'forbidden',
        `The API key \`${key.name}\` has the role \`${key.role}\`, which cannot call this API.`,
      )
    const found = {
      principal: {
        workspace: key.workspace,
        actor: `key:${key.name}`,
        role,
        taskTypes: key.taskTypes,
        keyId: key.id,
      },
      expiresAt: key.expiresAt,
      until: this.#clock.monotonic() + KEY_CACHE_MS,
    }
    this.#known.set(hashed, found)
    return this.#unlessExpired(found)
  }

  /** A key that was revoked counts no more in this process; in others until their memory of it has aged. */
  forget(hashed: string): void {
    this.#known.delete(hashed)
  }

  #unlessExpired(known: { principal: Principal; expiresAt: number | null }): Principal {
    if (known.expiresAt === null || known.expiresAt > this.#clock.now()) return known.principal
    throw unauthorized('The API key has expired')
  }
}

const unauthorized = (what: string): ApiError =>
  ApiError.of(
    'unauthorized',
    `${what}. Send \`Authorization: Bearer <key>\`; the first key stands in the file \`api-key\` of the server’s data directory, or is what WEFT_API_KEY says.`,
    { headers: { 'www-authenticate': 'Bearer realm="weft"' } },
  )

/** A worker's key performs tasks and reads nothing else; of the others, an admin's alone performs tasks too. */
export function mayAct(principal: Principal, role: Role | typeof WORKER_ROLE): boolean {
  if (principal.role === WORKER_ROLE) return role === WORKER_ROLE
  return ROLES.indexOf(principal.role) >= ROLES.indexOf(role === WORKER_ROLE ? 'admin' : role)
}

export function requireRole(principal: Principal, role: Role | typeof WORKER_ROLE, act: string): void {
  if (mayAct(principal, role)) return
  if (role === WORKER_ROLE)
    throw ApiError.of(
      'forbidden',
      `${act} needs the role worker; this API key has the role ${principal.role}. Use a key with the role worker or admin.`,
    )
  throw ApiError.of(
    'forbidden',
    `${act} needs the role ${role}; this API key has the role ${principal.role}. Use a key with the role ${role} or a higher one (${ROLES.join(' < ')}).`,
  )
}
