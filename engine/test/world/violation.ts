/** What a world found: a promise of Weft that did not hold. */
export class Violation extends Error {
  override readonly name = 'Violation'
}
