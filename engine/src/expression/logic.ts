/**
 * `&&` and `||`: one side that decides outweighs an error in the other, whichever comes first, as in CEL.
 */
import { truth } from './operators.ts'
import { Raised, type Site } from './problem.ts'
import type { Code } from './selection.ts'

/** A failure of the expression itself, which another operand may outweigh; a spent budget never is. */
export const isFailure = (raised: unknown): raised is Raised =>
  raised instanceof Raised && raised.code === 'expression_failed'

/** @param decisive what one operand has to be for the other not to matter */
export function logical(left: Code, leftSite: Site, right: Code, rightSite: Site, decisive: boolean): Code {
  return (machine) => {
    let first: boolean
    try {
      first = truth(leftSite, left(machine))
    } catch (raised) {
      if (!isFailure(raised)) throw raised
      if (truth(rightSite, right(machine)) === decisive) return decisive
      throw raised
    }
    return first === decisive ? decisive : truth(rightSite, right(machine))
  }
}
