/** Ids that follow from others, so that doing a thing twice makes it once. */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'

/** The id of the run that `onFailure` starts for a run that failed with the event `seq`. No step has such a key. */
export const failureRunId = (failedId: string, seq: number): string =>
  childRunId(failedId, '!on_failure', seq)

/**
 * The id of the child that a step starts: derived from (parent, step key, round), a UUID of version 8. Its last digit is
 * the parent's, so that both live in one partition and one commit can speak of both.
 */
export function childRunId(parentId: string, key: string, round: number): string {
  const hex = bytesToHex(sha256(utf8ToBytes(`${parentId}/${key}/${round}`)))
  const variant = '89ab'[Number.parseInt(hex[16] as string, 16) & 3]
  const tail = hex.slice(17, 31) + parentId.slice(-1)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${tail.slice(0, 3)}-${tail.slice(3)}`
}
