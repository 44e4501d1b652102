/** What a compilation finds: every problem and warning at once, in a bounded number. */
import type { Problem } from '../errors.ts'

/** A document with more mistakes than this is not corrected one by one. */
const MAX_FINDINGS = 500

export type Where = Pick<Problem, 'offset' | 'length' | 'suggestion'>

export class Report {
  readonly problems: Problem[] = []
  readonly warnings: Problem[] = []

  problem(code: string, message: string, pointer: string, where: Where = {}): void {
    if (this.problems.length < MAX_FINDINGS) this.problems.push({ code, message, pointer, ...where })
  }

  warning(code: string, message: string, pointer: string, where: Where = {}): void {
    if (this.warnings.length < MAX_FINDINGS) this.warnings.push({ code, message, pointer, ...where })
  }

  /** Problems of a part, whose pointers begin at that part. */
  below(pointer: string, problems: readonly Problem[]): void {
    for (const { code, message, pointer: inner, ...where } of problems) {
      this.problem(code, message, pointer + inner, where)
    }
  }
}
