/**
 * A credential's value as ciphertext: AES-256-GCM under a master key, a fresh nonce for every sealing. Workspace and name
 * are authenticated with it, so that a row that was copied over another one does not open.
 */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { JsonObject } from '@weft/engine'
import type { Clock } from '../clock.ts'
import type { SealedCredential } from '../store/store.ts'
import type { MasterKey } from './master-keys.ts'

const ALGORITHM = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

export interface CredentialName {
  readonly workspace: string
  readonly name: string
}

export function seal(
  value: JsonObject,
  { id, bytes }: MasterKey,
  named: CredentialName,
  clock: Pick<Clock, 'token'>,
): SealedCredential {
  const nonce = Buffer.from(clock.token(NONCE_BYTES), 'hex')
  const cipher = createCipheriv(ALGORITHM, bytes, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(contextOf(named))
  const sealed = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final(), cipher.getAuthTag()])
  return { keyId: id, nonce, sealed }
}

/** `null`: it was not sealed with this key for this name, or somebody has changed it. Never garbage. */
export function unseal(
  { nonce, sealed }: SealedCredential,
  { bytes }: MasterKey,
  named: CredentialName,
): JsonObject | null {
  try {
    const decipher = createDecipheriv(ALGORITHM, bytes, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(contextOf(named))
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    const text = Buffer.concat([
      decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)),
      decipher.final(),
    ])
    return JSON.parse(text.toString()) as JsonObject
  } catch {
    return null
  }
}

const contextOf = ({ workspace, name }: CredentialName): Buffer =>
  Buffer.from(JSON.stringify(['weft credential', 1, workspace, name]))
